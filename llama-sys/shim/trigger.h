// What sets a lazy grammar going.
#pragma once

#include "llama.h"

#include <deque>
#include <optional>
#include <regex>
#include <string>
#include <utility>
#include <vector>

namespace paguro {

// Watches a reply for the first marker of a tool call.
//
// llama.cpp's lazy grammar does this too, with a regular expression over the whole reply at each token: quadratic in the
// reply's length. This looks at the last kilobyte only, and then hands the tokens of the marker to llama.cpp's.
class trigger_watch {
  public:
    void add_token(llama_token token);
    void add_word(const std::string & word);
    void add_pattern(const std::string & pattern);

    bool empty() const;

    // As llama_sampler_init_grammar_lazy_patterns takes them.
    const std::vector<llama_token> & tokens() const { return tokens_; }
    const std::vector<std::string> & patterns() const { return patterns_; }

    // If `token`, whose text is `piece`, completes a trigger: the tokens from the marker's first to this one.
    std::optional<std::vector<llama_token>> completed_by(llama_token token, const std::string & piece) const;

    // Moves on by a token that completes none.
    void pass(llama_token token, const std::string & piece);

  private:
    size_t find(const std::string & text, size_t new_from) const;

    std::vector<llama_token> tokens_;
    std::vector<std::string> words_;
    std::vector<std::string> patterns_;  // words_ too, escaped
    std::vector<std::regex>  regexes_;   // of the patterns that are no words
    size_t                   longest_word_ = 0;

    std::string                                tail_;
    std::deque<std::pair<llama_token, size_t>> pieces_;  // of tail_: token, bytes
    bool                                       from_start_ = true;
};

}  // namespace paguro
