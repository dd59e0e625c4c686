// The border: what each export does with results and with whatever is thrown.
#pragma once

#include "paguro.h"

#include <exception>
#include <new>
#include <stdexcept>
#include <string>
#include <string_view>

namespace paguro {

// Thrown for what the caller passed, as opposed to what llama.cpp makes of it.
struct input_error : std::runtime_error {
    using std::runtime_error::runtime_error;
};

// Copies `text` into memory that paguro_text_free releases; leaves `out` empty when there is none.
void put(paguro_text * out, std::string_view text) noexcept;

// As put, but an error's text: cut at 4 KiB, since llama.cpp quotes whole inputs.
void put_error(paguro_text * out, std::string_view text) noexcept;

// common's log has a thread and writes to stderr; below every level it does neither.
void silence_common_log() noexcept;

inline std::string_view view(paguro_str text) {
    return text.data ? std::string_view(text.data, text.size) : std::string_view();
}

template <typename T> T & deref(T * handle) {
    if (!handle) {
        throw input_error("a null handle was passed");
    }
    return *handle;
}

// llama.cpp walks JSON, replies and templates by recursion, so one nested too deep would overflow the stack, which no catch
// can mend. These two refuse it beforehand. Whole JSON: 128 levels, serde_json's own limit.
void check_json_depth(std::string_view json);

// Any text in which something nested may start anywhere: at most 256 levels of the brackets that `openers` open (of `{[(`).
// `what` names the text in the error.
void check_bracket_depth(std::string_view text, std::string_view openers, const char * what);

// Runs `work`, which puts its own result; turns everything thrown into a status and a text.
template <typename Work> paguro_status guard(paguro_text * out, Work && work) noexcept {
    if (!out) {
        return PAGURO_INPUT;
    }
    *out = { nullptr, 0 };
    silence_common_log();
    try {
        work();
        return PAGURO_OK;
    } catch (const input_error & error) {
        put_error(out, error.what());
        return PAGURO_INPUT;
    } catch (const std::bad_alloc &) {
        put_error(out, "out of memory");
        return PAGURO_UNKNOWN;
    } catch (const std::exception & error) {
        put_error(out, error.what());
        return PAGURO_REFUSED;
    } catch (...) {
        put_error(out, "llama.cpp threw something that is no std::exception");
        return PAGURO_UNKNOWN;
    }
}

}  // namespace paguro
