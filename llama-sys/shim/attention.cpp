// How long attention takes over a cache of some type: llama.cpp's operations on memory of zeros, on the best device there is.

#include "devices.h"
#include "guard.h"

#include "ggml-backend.h"
#include "ggml-cpp.h"
#include "ggml.h"

#include <algorithm>
#include <chrono>
#include <cmath>

namespace {

// More layers than this are not allocated: enough memory that no cache of the processor holds it.
constexpr size_t MOST_BYTES = size_t(64) << 20;
constexpr int    RUNS       = 10;

struct layer {
    ggml_tensor * q;
    ggml_tensor * k;
    ggml_tensor * v;
};

ggml_type type_of(int type) {
    if (type < 0 || type >= GGML_TYPE_COUNT || ggml_blck_size(static_cast<ggml_type>(type)) <= 0) {
        throw paguro::input_error("no such type");
    }
    return static_cast<ggml_type>(type);
}

// As llama_kv_cache lays a layer out: the heads of one token side by side; without flash attention V is transposed.
layer make_layer(ggml_context * context, const paguro_attention & shape) {
    layer out;
    out.q = ggml_new_tensor_3d(context, GGML_TYPE_F32, shape.head, 1, shape.heads);
    out.k = ggml_new_tensor_3d(context, type_of(shape.type_k), shape.head, shape.kv_heads, shape.depth);
    out.v = shape.flash ? ggml_new_tensor_3d(context, type_of(shape.type_v), shape.head, shape.kv_heads, shape.depth)
                        : ggml_new_tensor_3d(context, type_of(shape.type_v), shape.depth, shape.head, shape.kv_heads);
    return out;
}

ggml_tensor * attend(ggml_context * context, const paguro_attention & shape, const layer & layer, ggml_tensor * mask) {
    const float   scale = 1.0f / std::sqrt(static_cast<float>(shape.head));
    ggml_tensor * k     = ggml_permute(context, layer.k, 0, 2, 1, 3);
    if (shape.flash) {
        ggml_tensor * v = ggml_permute(context, layer.v, 0, 2, 1, 3);
        return ggml_flash_attn_ext(context, layer.q, k, v, mask, scale, 0.0f, 0.0f);
    }
    ggml_tensor * scores = ggml_soft_max_ext(context, ggml_mul_mat(context, k, layer.q), mask, scale, 0.0f);
    return ggml_mul_mat(context, layer.v, scores);
}

ggml_backend_dev_t best_device() {
    const std::vector<size_t> gpus = paguro::local_gpus();
    return gpus.empty() ? ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU) : ggml_backend_dev_get(gpus.front());
}

ggml_backend_ptr best_backend(int threads) {
    ggml_backend_dev_t device = best_device();
    ggml_backend_ptr   backend(device ? ggml_backend_dev_init(device, nullptr) : nullptr);
    if (!backend) {
        throw std::runtime_error("there is no device");
    }
    if (ggml_backend_dev_type(device) == GGML_BACKEND_DEVICE_TYPE_CPU) {
        auto * set_threads = reinterpret_cast<ggml_backend_set_n_threads_t>(
            ggml_backend_reg_get_proc_address(ggml_backend_dev_backend_reg(device), "ggml_backend_set_n_threads"));
        if (set_threads) {
            set_threads(backend.get(), threads);
        }
    }
    return backend;
}

double seconds_per_layer(const paguro_attention & shape) {
    if (shape.head <= 0 || shape.heads <= 0 || shape.kv_heads <= 0 || shape.depth <= 0 || shape.heads % shape.kv_heads != 0 ||
        (!shape.flash && ggml_is_quantized(type_of(shape.type_v))) ||
        shape.head % ggml_blck_size(type_of(shape.type_k)) != 0 || shape.head % ggml_blck_size(type_of(shape.type_v)) != 0) {
        throw paguro::input_error("no such attention");
    }
    const size_t values = size_t(shape.head) * shape.kv_heads * shape.depth;
    const size_t bytes  = ggml_row_size(type_of(shape.type_k), values) + ggml_row_size(type_of(shape.type_v), values);
    const int    layers = static_cast<int>(std::clamp<size_t>(MOST_BYTES / bytes, 1, 8));

    ggml_backend_ptr backend = best_backend(shape.threads);
    ggml_init_params params{ ggml_tensor_overhead() * (layers * 12 + 8) + ggml_graph_overhead(), nullptr, true };
    ggml_context_ptr context(ggml_init(params));
    ggml_cgraph *    graph = ggml_new_graph(context.get());
    // One token; flash attention takes the mask as f16.
    ggml_tensor *    mask  = ggml_new_tensor_2d(context.get(), shape.flash ? GGML_TYPE_F16 : GGML_TYPE_F32, shape.depth, 1);
    for (int i = 0; i < layers; i++) {
        ggml_build_forward_expand(graph, attend(context.get(), shape, make_layer(context.get(), shape), mask));
    }
    for (int i = 0; i < ggml_graph_n_nodes(graph); i++) {
        if (!ggml_backend_supports_op(backend.get(), ggml_graph_node(graph, i))) {
            throw std::runtime_error("the device has no attention over these types");
        }
    }
    ggml_backend_buffer_ptr buffer(ggml_backend_alloc_ctx_tensors(context.get(), backend.get()));
    if (!buffer) {
        throw std::bad_alloc();
    }
    ggml_backend_buffer_clear(buffer.get(), 0);
    double best = INFINITY;
    for (int run = 0; run < RUNS; run++) {
        const auto start = std::chrono::steady_clock::now();
        if (ggml_backend_graph_compute(backend.get(), graph) != GGML_STATUS_SUCCESS) {
            throw std::runtime_error("attention cannot be computed");
        }
        ggml_backend_synchronize(backend.get());
        const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
        best = std::min(best, took.count() / layers);
    }
    return best;
}

}  // namespace

extern "C" paguro_status paguro_attention_seconds(const paguro_attention * shape, double * seconds, paguro_text * out) {
    return paguro::guard(out, [&] { paguro::deref(seconds) = seconds_per_layer(paguro::deref(shape)); });
}
