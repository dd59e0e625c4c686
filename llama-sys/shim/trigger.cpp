#include "trigger.h"

#include "common.h"

#include <algorithm>

namespace paguro {

// Longer than any marker in a template.
static constexpr size_t window = 1024;

void trigger_watch::add_token(llama_token token) {
    tokens_.push_back(token);
}

void trigger_watch::add_word(const std::string & word) {
    words_.push_back(word);
    patterns_.push_back(regex_escape(word));
    longest_word_ = std::max(longest_word_, word.size());
}

void trigger_watch::add_pattern(const std::string & pattern) {
    regexes_.emplace_back(pattern);
    patterns_.push_back(pattern);
}

bool trigger_watch::empty() const {
    return tokens_.empty() && patterns_.empty();
}

// Where a marker starts that ends in text[new_from..]; npos: none.
size_t trigger_watch::find(const std::string & text, size_t new_from) const {
    size_t       first     = std::string::npos;
    const size_t word_from = new_from > longest_word_ ? new_from - longest_word_ : 0;
    for (const auto & word : words_) {
        first = std::min(first, text.find(word, word_from));
    }
    // `^` is the reply's start; once the tail has lost that, it matches nowhere.
    const auto flags = from_start_ ? std::regex_constants::match_default : std::regex_constants::match_not_bol;
    for (const auto & regex : regexes_) {
        std::smatch match;
        if (std::regex_search(text, match, regex, flags)) {
            first = std::min(first, static_cast<size_t>(match.position(0)));
        }
    }
    return first;
}

std::optional<std::vector<llama_token>> trigger_watch::completed_by(llama_token token, const std::string & piece) const {
    if (std::find(tokens_.begin(), tokens_.end(), token) != tokens_.end()) {
        return std::vector<llama_token>{ token };
    }
    const size_t start = find(tail_ + piece, tail_.size());
    if (start == std::string::npos) {
        return std::nullopt;
    }
    std::vector<llama_token> marker;
    size_t                   end = 0;
    for (const auto & [earlier, bytes] : pieces_) {
        end += bytes;
        if (end > start) {
            marker.push_back(earlier);
        }
    }
    marker.push_back(token);
    return marker;
}

void trigger_watch::pass(llama_token token, const std::string & piece) {
    tail_ += piece;
    pieces_.emplace_back(token, piece.size());
    size_t drop = 0;
    while (tail_.size() - drop > window && pieces_.size() > 1) {
        drop += pieces_.front().second;
        pieces_.pop_front();
        from_start_ = false;
    }
    tail_.erase(0, drop);
}

}  // namespace paguro
