#include "guard.h"

#include "log.h"

#include <algorithm>
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

void check_depth(std::string_view json) {
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

}  // namespace paguro

extern "C" void paguro_text_free(paguro_text text) {
    std::free(text.data);
}
