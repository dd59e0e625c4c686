// Grammars: made from a JSON Schema, and held beside the sampler. Mirrors common_sampler of common/sampling.cpp in how
// triggers, reasoning and the generation prompt work together, without its assertions and exceptions.

#include "common.h"
#include "json-schema-to-grammar.h"
#include "json.h"
#include "llama-grammar.h"
#include "reasoning-budget.h"

#include "guard.h"
#include "trigger.h"

#include <cctype>
#include <climits>
#include <cmath>
#include <memory>
#include <optional>

using paguro::check_json_depth;
using paguro::deref;
using paguro::guard;
using paguro::input_error;
using paguro::put;
using paguro::trigger_watch;
using paguro::view;

namespace {

struct free_sampler {
    void operator()(llama_sampler * sampler) const { llama_sampler_free(sampler); }
};
using sampler_ptr = std::unique_ptr<llama_sampler, free_sampler>;

sampler_ptr clone(const sampler_ptr & sampler) {
    return sampler_ptr(sampler ? llama_sampler_clone(sampler.get()) : nullptr);
}

}  // namespace

struct paguro_grammar {
    const llama_vocab * vocab = nullptr;
    sampler_ptr         grammar;
    sampler_ptr         reasoning;        // tracks reasoning, inside which a lazy grammar sleeps; null: the template has none
    trigger_watch       watch;
    bool                waiting = false;  // lazy, and no trigger yet
    bool                broken  = false;  // threw halfway through a token

    void        check(llama_token token) const;
    bool        awake() const;
    bool        fits(const sampler_ptr & active, llama_token token) const;
    bool        fits(const llama_tokens & marker) const;
    void        feed(const sampler_ptr & active, llama_token token) const;
    void        advance(llama_token token, const std::optional<llama_tokens> & marker);
    bool        allows(llama_token token, const std::optional<llama_tokens> & marker) const;
    void        accept(llama_token token);
    std::string piece(llama_token token) const { return common_token_to_piece(vocab, token, true); }

    // The tokens of the marker that `token` completes, if the grammar waits for one.
    std::optional<llama_tokens> marker_of(llama_token token) const {
        return waiting ? watch.completed_by(token, piece(token)) : std::nullopt;
    }
};

void paguro_grammar::check(llama_token token) const {
    if (broken) {
        throw input_error("the grammar failed before and cannot go on");
    }
    if (token < 0 || token >= llama_vocab_n_tokens(vocab)) {
        throw input_error("token " + std::to_string(token) + " is not in the vocabulary");
    }
}

// Outside reasoning. A grammar that is not lazy describes the reasoning too, and has no tracker.
bool paguro_grammar::awake() const {
    if (!reasoning) {
        return true;
    }
    const auto state = common_reasoning_budget_get_state(reasoning.get());
    return state == REASONING_BUDGET_IDLE || state == REASONING_BUDGET_DONE;
}

// One candidate is enough to ask; llama_sampler_accept would abort on an end of generation that is out of place.
bool paguro_grammar::fits(const sampler_ptr & active, llama_token token) const {
    llama_token_data       one  = { token, 1.0f, 0.0f };
    llama_token_data_array only = { &one, 1, -1, false };
    llama_sampler_apply(active.get(), &only);
    return one.logit != -INFINITY;
}

// The token that completes a marker may go on with what the grammar forbids (`<tool_call>{"x`).
bool paguro_grammar::fits(const llama_tokens & marker) const {
    const auto trial = clone(grammar);
    try {
        for (const llama_token part : marker) {
            feed(trial, part);
        }
    } catch (const std::runtime_error &) {
        return false;
    }
    return true;
}

void paguro_grammar::feed(const sampler_ptr & active, llama_token token) const {
    if (!llama_vocab_is_eog(vocab, token)) {
        llama_sampler_accept(active.get(), token);
    } else if (!fits(active, token)) {
        throw std::runtime_error("the grammar does not end here");
    }
}

void paguro_grammar::advance(llama_token token, const std::optional<llama_tokens> & marker) {
    if (!waiting) {
        feed(grammar, token);
    } else if (!marker) {
        watch.pass(token, piece(token));
    } else {
        waiting = false;
        for (const llama_token part : *marker) {
            feed(grammar, part);
        }
    }
}

bool paguro_grammar::allows(llama_token token, const std::optional<llama_tokens> & marker) const {
    check(token);
    if (!awake()) {
        return true;
    }
    return waiting ? !marker || fits(*marker) : fits(grammar, token);
}

void paguro_grammar::accept(llama_token token) {
    check(token);
    const bool was_awake = awake();
    const auto marker    = was_awake ? marker_of(token) : std::nullopt;
    if (!allows(token, marker)) {
        throw std::runtime_error("the grammar forbids the token " + std::to_string(token) + " (`" + piece(token) + "`)");
    }
    broken = true;  // until all of it went well
    if (reasoning) {
        llama_sampler_accept(reasoning.get(), token);
        // The marker that ended the reasoning may itself be a trigger.
        if (!was_awake && common_reasoning_budget_get_state(reasoning.get()) == REASONING_BUDGET_DONE) {
            if (const llama_tokens * end = common_reasoning_budget_get_end_match(reasoning.get())) {
                for (const llama_token part : *end) {
                    advance(part, marker_of(part));
                }
            }
        }
    }
    if (was_awake) {
        advance(token, marker);
    }
    broken = false;
}

namespace {

// llama_grammar_parser::parse prints its reason on stderr and keeps it; its parse_rule throws it.
void check_grammar(const llama_vocab * vocab, const std::string & text) {
    llama_grammar_parser parser(vocab);
    const char *         at = text.c_str() + std::min(text.find_first_not_of(" \t\r\n"), text.size());
    while (*at) {
        at = parser.parse_rule(at);
    }
    for (const auto & [name, id] : parser.symbol_ids) {
        if (id >= parser.rules.size() || parser.rules[id].empty()) {
            throw std::runtime_error("the grammar has no rule `" + name + "`");
        }
    }
    if (parser.symbol_ids.find("root") == parser.symbol_ids.end()) {
        throw std::runtime_error("the grammar has no rule `root`");
    }
}

// Markers come as the template writes them, `<tool_call>` with its line feed. A model that leaves the white space out would go
// on without a grammar; set off by the marker alone, the grammar makes it write it.
std::string without_trailing_space(std::string word) {
    while (word.size() > 1 && std::isspace(static_cast<unsigned char>(word.back()))) {
        word.pop_back();
    }
    return word;
}

// A word that is one token triggers by the token, as in llama.cpp's server.
void add_triggers(paguro_grammar & made, const common_json & triggers) {
    for (const auto & trigger : triggers) {
        const auto kind  = trigger.at("kind").get<std::string>();
        const auto value = trigger.at("value").get<std::string>();
        if (kind == "token") {
            made.watch.add_token(trigger.at("token").get<int>());
        } else if (kind == "word") {
            const auto word   = without_trailing_space(value);
            const auto tokens = common_tokenize(made.vocab, word, false, true);
            if (tokens.size() == 1) {
                made.watch.add_token(tokens[0]);
            } else {
                made.watch.add_word(word);
            }
        } else if (kind == "pattern") {
            made.watch.add_pattern(value);
        } else if (kind == "pattern_full") {
            const bool begins = !value.empty() && value.front() == '^';
            const bool ends   = !value.empty() && value.back() == '$';
            made.watch.add_pattern((begins ? "" : "^") + value + (ends ? "" : "$"));
        } else {
            throw input_error("no such kind of trigger: " + kind);
        }
    }
}

sampler_ptr lazy_grammar(const paguro_grammar & made, const std::string & text) {
    std::vector<const char *> patterns;
    for (const auto & pattern : made.watch.patterns()) {
        patterns.push_back(pattern.c_str());
    }
    const auto & tokens = made.watch.tokens();
    return sampler_ptr(llama_sampler_init_grammar_lazy_patterns(made.vocab, text.c_str(), "root", patterns.data(),
                                                                patterns.size(), tokens.data(), tokens.size()));
}

// The part of the reply that stands in the prompt already.
llama_tokens prefill_tokens(const llama_vocab * vocab, const std::string & prompt) {
    auto tokens = common_tokenize(vocab, prompt, false, true);
    if (!tokens.empty()) {
        // Some tokenizers put a space before the first special token.
        const std::string first = common_token_to_piece(vocab, tokens[0], true);
        if (!first.empty() && std::isspace(static_cast<unsigned char>(first[0])) &&
            !std::isspace(static_cast<unsigned char>(prompt[0]))) {
            tokens.erase(tokens.begin());
        }
    }
    return tokens;
}

sampler_ptr reasoning_tracker(const llama_vocab * vocab, const common_json & rendered) {
    const auto start = common_tokenize(vocab, rendered.at("thinking_start").get<std::string>(), false, true);
    std::vector<llama_tokens> ends;
    for (const auto & end : rendered.at("thinking_end")) {
        ends.push_back(common_tokenize(vocab, end.get<std::string>(), false, true));
    }
    if (start.empty() || ends.empty()) {
        return nullptr;
    }
    return sampler_ptr(common_reasoning_budget_init(vocab, { start }, ends, {}, INT_MAX));
}

std::unique_ptr<paguro_grammar> make_grammar(const llama_model * model, const common_json & rendered) {
    if (!model) {
        throw input_error("no model was passed");
    }
    auto       made    = std::make_unique<paguro_grammar>();
    const auto text    = rendered.at("grammar").get<std::string>();
    const auto prefill = rendered.at("generation_prompt").get<std::string>();
    made->vocab        = llama_model_get_vocab(model);
    made->waiting      = rendered.at("grammar_lazy").get<bool>();
    check_grammar(made->vocab, text);

    if (made->waiting) {
        add_triggers(*made, rendered.at("triggers"));
        if (made->watch.empty()) {
            throw input_error("a lazy grammar needs a trigger");
        }
        made->grammar   = lazy_grammar(*made, text);
        made->reasoning = reasoning_tracker(made->vocab, rendered);
    } else {
        made->grammar.reset(llama_sampler_init_grammar(made->vocab, text.c_str(), "root"));
    }
    if (!made->grammar) {
        throw std::runtime_error("llama.cpp refuses the grammar; is it left-recursive?");
    }
    for (const llama_token token : prefill_tokens(made->vocab, prefill)) {
        if (made->reasoning) {
            llama_sampler_accept(made->reasoning.get(), token);
        }
        if (!made->waiting) {
            made->feed(made->grammar, token);
        }
    }
    return made;
}

}  // namespace

extern "C" paguro_status paguro_schema_to_grammar(paguro_str schema, paguro_text * out) {
    return guard(out, [&] {
        check_json_depth(view(schema));
        put(out, json_schema_to_grammar(common_json::parse(std::string(view(schema))), true));
    });
}

extern "C" paguro_status paguro_grammar_new(const llama_model * model, paguro_str rendered, paguro_grammar ** grammar,
                                            paguro_text * out) {
    return guard(out, [&] {
        deref(grammar) = make_grammar(model, common_json::parse(std::string(view(rendered)))).release();
    });
}

extern "C" void paguro_grammar_free(paguro_grammar * grammar) {
    delete grammar;
}

extern "C" paguro_status paguro_grammar_clone(const paguro_grammar * grammar, paguro_grammar ** copy, paguro_text * out) {
    return guard(out, [&] {
        const auto & from = deref(grammar);
        auto         made = std::make_unique<paguro_grammar>();
        made->vocab       = from.vocab;
        made->grammar     = clone(from.grammar);
        made->reasoning   = clone(from.reasoning);
        made->watch       = from.watch;
        made->waiting     = from.waiting;
        made->broken      = from.broken;
        deref(copy)       = made.release();
    });
}

extern "C" paguro_status paguro_grammar_allows(const paguro_grammar * grammar, llama_token token, bool * allowed,
                                               paguro_text * out) {
    return guard(out, [&] {
        const auto & self = deref(grammar);
        self.check(token);
        deref(allowed) = self.allows(token, self.marker_of(token));
    });
}

extern "C" paguro_status paguro_grammar_mask(const paguro_grammar * grammar, llama_token_data * candidates, size_t count,
                                             paguro_text * out) {
    return guard(out, [&] {
        const auto & self = deref(grammar);
        for (size_t i = 0; i < count; ++i) {
            self.check(candidates[i].id);
        }
        if (count == 0 || !self.awake()) {
            return;
        }
        if (!self.waiting) {
            llama_token_data_array all = { candidates, count, -1, false };
            llama_sampler_apply(self.grammar.get(), &all);
            return;
        }
        for (size_t i = 0; i < count; ++i) {
            const auto marker = self.marker_of(candidates[i].id);
            if (marker && !self.fits(*marker)) {
                candidates[i].logit = -INFINITY;
            }
        }
    });
}

extern "C" paguro_status paguro_grammar_accept(paguro_grammar * grammar, llama_token token, paguro_text * out) {
    return guard(out, [&] { deref(grammar).accept(token); });
}
