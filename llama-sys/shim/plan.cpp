// What a model and a context on it take, by llama.cpp's own count.

#include "guard.h"
#include "json.h"

#include "ggml-backend.h"
#include "ggml-rpc.h"
#include "llama-ext.h"

#include <memory>

namespace {

// The device of `type`, or null for the machine's own memory: the CPU's buffers, whatever they are called (CPU_REPACK is no
// host buffer to ggml), and buffers pinned for a GPU.
ggml_backend_dev_t device_of(ggml_backend_buffer_type_t type) {
    if (ggml_backend_buft_is_host(type)) {
        return nullptr;
    }
    ggml_backend_dev_t device = ggml_backend_buft_get_device(type);
    if (!device) {
        return nullptr;
    }
    switch (ggml_backend_dev_type(device)) {
        case GGML_BACKEND_DEVICE_TYPE_CPU:
        case GGML_BACKEND_DEVICE_TYPE_ACCEL:
            return nullptr;
        default:
            return device;
    }
}

common_json buffers(const llama_context * context) {
    common_json list = common_json::array();
    for (const auto & [type, memory] : llama_get_memory_breakdown(context)) {
        ggml_backend_dev_t device = device_of(type);
        common_json        item   = common_json::object();
        item["name"]              = ggml_backend_buft_name(type);
        item["device"]            = device ? common_json_value(ggml_backend_dev_name(device)) : common_json_value(nullptr);
        item["weights"]           = memory.model;
        item["kv"]                = memory.context;
        item["compute"]           = memory.compute;
        list.push_back(item);
    }
    return list;
}

common_json devices(const llama_model * model) {
    common_json list = common_json::array();
    for (int i = 0; i < llama_model_n_devices(model); i++) {
        ggml_backend_dev_t device = llama_model_get_device(model, i);
        const auto         type   = ggml_backend_dev_type(device);
        size_t             free   = 0;
        size_t             total  = 0;
        ggml_backend_dev_memory(device, &free, &total);
        common_json item   = common_json::object();
        item["name"]       = ggml_backend_dev_name(device);
        const bool remote  = ggml_backend_dev_backend_reg(device) == ggml_backend_rpc_reg();
        item["worker"]     = remote ? common_json_value(ggml_backend_dev_description(device)) : common_json_value(nullptr);
        item["integrated"] = type == GGML_BACKEND_DEVICE_TYPE_IGPU;
        item["free"]       = free;
        item["total"]      = total;
        list.push_back(item);
    }
    return list;
}

}  // namespace

extern "C" paguro_status paguro_context_memory(struct llama_model * model, const struct llama_context_params * params,
                                               paguro_text * out) {
    return paguro::guard(out, [&] {
        std::unique_ptr<llama_context, decltype(&llama_free)> context(
            llama_init_from_model(&paguro::deref(model), paguro::deref(params)), llama_free);
        if (!context) {
            throw std::runtime_error("llama.cpp makes no such context");
        }
        common_json told = common_json::object();
        told["buffers"]  = buffers(context.get());
        told["devices"]  = devices(model);
        // One row of logits for each sequence lies outside of these buffers (llama_context::output_reserve).
        const auto words = static_cast<uint64_t>(llama_vocab_n_tokens(llama_model_get_vocab(model)));
        told["logits"]   = words * sizeof(float) * llama_n_seq_max(context.get());
        paguro::put(out, told.dump_safe());
    });
}
