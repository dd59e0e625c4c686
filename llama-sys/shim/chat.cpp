// Chat templates: opened once, rendered per request. Wraps common/chat.h.

#include "chat.h"

#include "guard.h"

#include <chrono>
#include <ctime>

using paguro::check_json_depth;
using paguro::deref;
using paguro::guard;
using paguro::input_error;
using paguro::put;
using paguro::view;

struct paguro_chat {
    std::string               source;
    common_chat_templates_ptr templates;
    std::vector<std::string>  clock_formats;
};

namespace {

// llama.cpp's strftime_now always reads the machine's clock. Each call with a literal format becomes a look-up of a variable
// that render sets, and stays the call where the variable is absent (in llama.cpp's own probes).
std::string fix_clock(const std::string & source, std::vector<std::string> & formats) {
    static const std::string call = "strftime_now";
    std::string result;
    size_t      from = 0;
    for (size_t at; (at = source.find(call, from)) != std::string::npos;) {
        size_t open = source.find_first_not_of(" ", at + call.size());
        size_t quote = open == std::string::npos || source[open] != '(' ? std::string::npos : source.find_first_not_of(" ", open + 1);
        bool   quoted = quote != std::string::npos && (source[quote] == '\'' || source[quote] == '"');
        size_t end = quoted ? source.find(source[quote], quote + 1) : std::string::npos;
        size_t close = end == std::string::npos ? end : source.find_first_not_of(" ", end + 1);
        if (close == std::string::npos || source[close] != ')') {
            result += source.substr(from, at + call.size() - from);
            from = at + call.size();
            continue;
        }
        const std::string literal = source.substr(quote, end + 1 - quote);
        formats.push_back(literal.substr(1, literal.size() - 2));
        result += source.substr(from, at - from);
        result += "(paguro_clock[" + literal + "] if paguro_clock is defined else " + call + "(" + literal + "))";
        from = close + 1;
    }
    return result + source.substr(from);
}

std::string own_template(const llama_model * model, bool & has_tool_use) {
    if (!model) {
        throw input_error("neither a model nor a chat template was given");
    }
    const char * source = llama_model_chat_template(model, nullptr);
    has_tool_use        = llama_model_chat_template(model, "tool_use") != nullptr;
    if (!source && !has_tool_use) {
        throw std::runtime_error("the model has no chat template");
    }
    return source ? source : "";
}

std::unique_ptr<paguro_chat> open_chat(const llama_model * model, paguro_str source, paguro_str bos, paguro_str eos) {
    auto chat         = std::make_unique<paguro_chat>();
    bool has_tool_use = false;
    chat->source      = source.size ? std::string(view(source)) : own_template(model, has_tool_use);
    paguro::check_bracket_depth(chat->source, "{[(", "the chat template");

    // A model with a second template for tools loses it when a text is passed in place of the first.
    const std::string text = has_tool_use ? "" : fix_clock(chat->source, chat->clock_formats);
    const std::string bos_text(view(bos)), eos_text(view(eos));
    try {
        chat->templates = common_chat_templates_init(model, text, bos_text, eos_text);
    } catch (const std::exception &) {
        // common_chat_templates_init rethrows by value and loses the text; parsing once more throws it whole.
        common_chat_template(text, bos_text, eos_text);
        throw;
    }
    return chat;
}

bool has_reasoning(const paguro_chat & chat) {
    try {
        return common_chat_templates_support_enable_thinking(chat.templates.get());
    } catch (const std::exception &) {
        return false;  // the probe is one user message, which a template may refuse
    }
}

std::string local_time(std::time_t now, const std::string & format) {
    std::tm parts{};
    localtime_r(&now, &parts);
    char buffer[128];
    return std::string(buffer, std::strftime(buffer, sizeof(buffer), format.c_str(), &parts));
}

void set_clock(const paguro_chat & chat, std::time_t now, common_chat_templates_inputs & inputs) {
    common_json clock = common_json::object();
    for (const auto & format : chat.clock_formats) {
        clock[format] = local_time(now, format);
    }
    inputs.now                                 = std::chrono::system_clock::from_time_t(now);
    inputs.chat_template_kwargs["paguro_clock"] = clock.dump();
    // The two that llama.cpp sets by itself, in its formats.
    inputs.chat_template_kwargs["datetime"]    = common_json(local_time(now, "%b %d %Y")).dump();
    inputs.chat_template_kwargs["date_string"] = common_json(local_time(now, "%d %b %Y")).dump();
}

common_chat_templates_inputs read_inputs(const paguro_chat & chat, const common_json & input) {
    common_chat_templates_inputs inputs;
    inputs.messages = common_chat_msgs_parse_oaicompat(input.at("messages"));
    for (const auto & message : inputs.messages) {
        for (const auto & call : message.tool_calls) {
            check_json_depth(call.arguments);  // text here, but some templates get it parsed
        }
    }
    if (input.contains("tools") && !input.at("tools").is_null()) {
        inputs.tools = common_chat_tools_parse_oaicompat(input.at("tools"));
    }
    if (input.contains("json_schema") && !input.at("json_schema").is_null()) {
        inputs.json_schema = input.at("json_schema").dump();
    }
    if (!inputs.json_schema.empty() && !inputs.tools.empty()) {
        throw input_error("a reply follows a JSON schema or calls tools, not both");
    }
    inputs.tool_choice           = common_chat_tool_choice_parse_oaicompat(input.at("tool_choice").get<std::string>());
    inputs.parallel_tool_calls   = input.at("parallel_tool_calls").get<bool>();
    inputs.enable_thinking       = input.at("reasoning").get<bool>();
    inputs.add_generation_prompt = input.at("add_generation_prompt").get<bool>();
    inputs.reasoning_format      = COMMON_REASONING_FORMAT_DEEPSEEK;  // split off, whether asked for or not
    if (input.contains("variables") && !input.at("variables").is_null()) {
        for (const auto & [name, value] : input.at("variables").items()) {
            inputs.chat_template_kwargs[name] = value.dump();
        }
    }
    if (input.contains("now") && !input.at("now").is_null()) {
        set_clock(chat, static_cast<std::time_t>(input.at("now").get<int64_t>()), inputs);
    }
    return inputs;
}

common_json triggers_json(const std::vector<common_grammar_trigger> & triggers) {
    common_json list = common_json::array();
    for (const auto & trigger : triggers) {
        common_json item = common_json::object();
        switch (trigger.type) {
            case COMMON_GRAMMAR_TRIGGER_TYPE_TOKEN:        item["kind"] = "token";        break;
            case COMMON_GRAMMAR_TRIGGER_TYPE_WORD:         item["kind"] = "word";         break;
            case COMMON_GRAMMAR_TRIGGER_TYPE_PATTERN:      item["kind"] = "pattern";      break;
            case COMMON_GRAMMAR_TRIGGER_TYPE_PATTERN_FULL: item["kind"] = "pattern_full"; break;
        }
        item["value"] = trigger.value;
        if (trigger.type == COMMON_GRAMMAR_TRIGGER_TYPE_TOKEN) {
            item["token"] = trigger.token;
        }
        list.push_back(item);
    }
    return list;
}

common_json rendered_json(const common_chat_params & params) {
    common_json out          = common_json::object();
    out["prompt"]            = params.prompt;
    out["generation_prompt"] = params.generation_prompt;
    out["grammar"]           = params.grammar;
    out["grammar_lazy"]      = params.grammar_lazy;
    out["triggers"]          = triggers_json(params.grammar_triggers);
    out["preserved_tokens"]  = params.preserved_tokens;
    out["stops"]             = params.additional_stops;
    out["supports_thinking"] = params.supports_thinking;
    out["thinking_start"]    = params.thinking_start_tag;
    out["thinking_end"]      = params.thinking_end_tags;
    out["format"]            = common_chat_format_name(params.format);
    out["format_id"]         = static_cast<int>(params.format);
    out["parser"]            = params.parser;
    return out;
}

}  // namespace

extern "C" paguro_status paguro_chat_new(const llama_model * model, paguro_str source, paguro_str bos, paguro_str eos,
                                         paguro_chat ** chat, paguro_text * out) {
    return guard(out, [&] { deref(chat) = open_chat(model, source, bos, eos).release(); });
}

extern "C" void paguro_chat_free(paguro_chat * chat) {
    delete chat;
}

extern "C" paguro_status paguro_chat_info(const paguro_chat * chat, paguro_text * out) {
    return guard(out, [&] {
        common_json capabilities = common_json::object();
        for (const auto & [name, has] : common_chat_templates_get_caps(deref(chat).templates.get())) {
            capabilities[name] = has;
        }
        capabilities["reasoning"] = has_reasoning(*chat);
        common_json info          = common_json::object();
        info["source"]            = chat->source;
        info["capabilities"]      = capabilities;
        put(out, info.dump_safe());
    });
}

extern "C" paguro_status paguro_chat_render(const paguro_chat * chat, paguro_str input, paguro_text * out) {
    return guard(out, [&] {
        check_json_depth(view(input));
        const auto inputs = read_inputs(deref(chat), common_json::parse(std::string(view(input))));
        put(out, rendered_json(common_chat_templates_apply(chat->templates.get(), inputs)).dump_safe());
    });
}
