// Replies taken apart. Wraps common_chat_parse with a parser that is loaded once.

#include "chat.h"

#include "guard.h"

using paguro::deref;
using paguro::guard;
using paguro::put;
using paguro::view;

struct paguro_reply {
    common_chat_parser_params params;
};

extern "C" paguro_status paguro_reply_new(paguro_str rendered, paguro_reply ** reply, paguro_text * out) {
    return guard(out, [&] {
        const auto input  = common_json::parse(std::string(view(rendered)));
        const int  format = input.at("format_id").get<int>();
        if (format < 0 || format >= COMMON_CHAT_FORMAT_COUNT) {
            throw paguro::input_error("format " + std::to_string(format) + " is not one of this llama.cpp's");
        }
        auto made                      = std::make_unique<paguro_reply>();
        made->params.format            = static_cast<common_chat_format>(format);
        made->params.reasoning_format  = COMMON_REASONING_FORMAT_DEEPSEEK;
        made->params.generation_prompt = input.at("generation_prompt").get<std::string>();
        const auto parser              = input.at("parser").get<std::string>();
        if (!parser.empty()) {
            made->params.parser.load(parser);
        }
        deref(reply) = made.release();
    });
}

extern "C" void paguro_reply_free(paguro_reply * reply) {
    delete reply;
}

extern "C" paguro_status paguro_reply_parse(const paguro_reply * reply, paguro_str generated, bool partial, paguro_text * out) {
    return guard(out, [&] {
        paguro::check_bracket_depth(view(generated), "{[", "the reply");
        const auto message = common_chat_parse(std::string(view(generated)), partial, deref(reply).params);

        common_json calls = common_json::array();
        for (const auto & call : message.tool_calls) {
            common_json item  = common_json::object();
            item["id"]        = call.id;
            item["name"]      = call.name;
            item["arguments"] = call.arguments;
            calls.push_back(item);
        }
        common_json parsed   = common_json::object();
        parsed["content"]    = message.render_content();
        parsed["reasoning"]  = message.reasoning_content;
        parsed["tool_calls"] = calls;
        put(out, parsed.dump_safe());
    });
}
