// Which llama.cpp this is.

#include "build-info.h"

#include "guard.h"
#include "json.h"

#include "ggml.h"

extern "C" paguro_status paguro_build_info(paguro_text * out) {
    return paguro::guard(out, [&] {
        common_json info = common_json::object();
        info["build"]    = llama_build_number();
        info["commit"]   = llama_commit();
        info["compiler"] = llama_compiler();
        info["ggml"]     = ggml_version();
        paguro::put(out, info.dump_safe());
    });
}
