#include "guard.h"

#include "log.h"

#include <algorithm>
#include <climits>
#include <cstdlib>
#include <cstring>

namespace paguro {

void put(paguro_text * out, std::string_view text) noexcept {
    *out = { nullptr, 0 };
    auto * copy = static_cast<char *>(std::malloc(std::max<size_t>(text.size(), 1)));
    if (copy) {
        std::memcpy(copy, text.data(), text.size());
        *out = { copy, text.size() };
    }
}

void put_error(paguro_text * out, std::string_view text) noexcept {
    put(out, text.substr(0, 4096));
}

void silence_common_log() noexcept {
    // A function-local static, because setting the threshold is not thread-safe and one time is enough.
    static const bool silent = (common_log_set_verbosity_thold(-1), true);
    (void) silent;
}

void check_json_depth(std::string_view json) {
    constexpr int limit = 128;
    int  depth   = 0;
    bool text    = false;
    bool escaped = false;
    for (char c : json) {
        if (text) {
            text    = escaped || c != '"';
            escaped = !escaped && c == '\\';
        } else if (c == '"') {
            text = true;
        } else if (c == '{' || c == '[') {
            if (++depth > limit) {
                throw input_error("JSON nested deeper than 128 levels");
            }
        } else if (c == '}' || c == ']') {
            --depth;
        }
    }
}

// Where the nested part starts is unknown, and so whether a quote opens or closes a string. So all ways to read the text are
// followed at once: for each state of the reader, the greatest depth that any start could have brought it to.
void check_bracket_depth(std::string_view text, std::string_view openers, const char * what) {
    constexpr int limit = 256;
    constexpr int never = INT_MIN / 2;
    int outside = 0;
    int in_double = never, in_single = never;            // inside "…" and '…'
    int escaped_double = never, escaped_single = never;  // there, after a backslash
    for (char c : text) {
        const int was_double = in_double, was_single = in_single;
        in_double      = escaped_double;
        in_single      = escaped_single;
        escaped_double = escaped_single = never;
        switch (c) {
            case '"':
                in_single = std::max(in_single, was_single);
                in_double = std::max(in_double, outside);
                outside   = std::max(was_double, 0);
                break;
            case '\'':  // outside, also an apostrophe
                in_double = std::max(in_double, was_double);
                in_single = std::max(in_single, outside);
                outside   = std::max(outside, was_single);
                break;
            case '\\':
                escaped_double = was_double;
                escaped_single = was_single;
                break;
            default:
                in_double = std::max(in_double, was_double);
                in_single = std::max(in_single, was_single);
                if (openers.find(c) != std::string_view::npos) {
                    ++outside;
                } else if (c == '}' || c == ']' || (c == ')' && openers.size() == 3)) {
                    outside = std::max(outside - 1, 0);
                }
        }
        if (outside > limit) {
            throw input_error(std::string(what) + " is nested deeper than 256 levels");
        }
    }
}

}  // namespace paguro

extern "C" void paguro_text_free(paguro_text text) {
    std::free(text.data);
}
