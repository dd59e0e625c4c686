// The shim's C interface: what Rust sees of llama.cpp's C++ (bound by bindgen in build.rs).
//
// Every function catches everything. Structured values travel as JSON text. A handle that a function gives out is freed by
// the `_free` of its kind, a text by paguro_text_free; freeing null does nothing.
#pragma once

#include "ggml-rpc.h"
#include "llama.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum paguro_status {
    PAGURO_OK      = 0,
    PAGURO_INPUT   = 1,  // the caller passed what cannot be used
    PAGURO_REFUSED = 2,  // llama.cpp threw, and said why
    PAGURO_UNKNOWN = 3,  // llama.cpp threw something that says nothing, or memory ran out
} paguro_status;

// Borrowed bytes, UTF-8, not terminated; `data` may be null when `size` is 0.
typedef struct paguro_str {
    const char * data;
    size_t       size;
} paguro_str;

// Owned bytes: a function's result when it returns PAGURO_OK, else the reason.
typedef struct paguro_text {
    char * data;
    size_t size;
} paguro_text;

void paguro_text_free(paguro_text text);

// Chat templates. `model` may be null if `source` is not empty. chat_info gives {"source", "capabilities"}.
typedef struct paguro_chat paguro_chat;
paguro_status paguro_chat_new(const struct llama_model * model, paguro_str source, paguro_str bos, paguro_str eos,
                              paguro_chat ** chat, paguro_text * out);
void          paguro_chat_free(paguro_chat * chat);
paguro_status paguro_chat_info(const paguro_chat * chat, paguro_text * out);
paguro_status paguro_chat_render(const paguro_chat * chat, paguro_str input, paguro_text * out);

// Replies. `rendered` is {"format_id", "generation_prompt", "parser"}; reply_parse gives {"content", "reasoning", "tool_calls"}.
typedef struct paguro_reply paguro_reply;
paguro_status paguro_reply_new(paguro_str rendered, paguro_reply ** reply, paguro_text * out);
void          paguro_reply_free(paguro_reply * reply);
paguro_status paguro_reply_parse(const paguro_reply * reply, paguro_str generated, bool partial, paguro_text * out);

// Grammars. `rendered` is what chat_render gave. The grammar borrows the model.
typedef struct paguro_grammar paguro_grammar;
paguro_status paguro_schema_to_grammar(paguro_str schema, paguro_text * out);
paguro_status paguro_grammar_new(const struct llama_model * model, paguro_str rendered, paguro_grammar ** grammar,
                                 paguro_text * out);
void          paguro_grammar_free(paguro_grammar * grammar);
paguro_status paguro_grammar_clone(const paguro_grammar * grammar, paguro_grammar ** copy, paguro_text * out);
paguro_status paguro_grammar_allows(const paguro_grammar * grammar, llama_token token, bool * allowed, paguro_text * out);
paguro_status paguro_grammar_mask(const paguro_grammar * grammar, llama_token_data * candidates, size_t count,
                                  paguro_text * out);
paguro_status paguro_grammar_accept(paguro_grammar * grammar, llama_token token, paguro_text * out);

// What `model` and a context by `params` on it take, in bytes: {"buffers": [{"name", "device", "weights", "kv", "compute"}],
// "devices": [{"name", "worker", "integrated", "free", "total"}], "logits"}. `worker` is the address of the worker whose device it is,
// or null. `device` is null for the machine's own memory. With a model
// loaded by `no_alloc` nothing of the weights, the KV cache and the compute buffers is allocated. A context is made and freed.
paguro_status paguro_context_memory(struct llama_model * model, const struct llama_context_params * params, paguro_text * out);

// The attention of one layer for one new token over `depth` tokens, in seconds: the quickest of a few runs on the best device
// there is, with `threads` if that is the CPU. Types are ggml's; without flash attention V must not be a quantised one.
typedef struct paguro_attention {
    int  head;  // values of one head
    int  heads;
    int  kv_heads;
    int  depth;
    int  type_k;
    int  type_v;
    bool flash;
    int  threads;
} paguro_attention;
paguro_status paguro_attention_seconds(const paguro_attention * shape, double * seconds, paguro_text * out);

// More than one machine: llama.cpp's RPC backend. Devices are [{"name", "index", "free", "total"}], `index` among ggml's devices, bytes.
//
// local_gpus gives the indices of the GPUs that llama.cpp uses by itself. lent_devices gives what this machine would lend; `memory`
// tells what is free of the machine's own memory. worker_serve lends it to whoever connects to `endpoint` (IPv4 address and port), and
// returns only with an error; from then on nothing can be written to standard output. worker_devices connects to a worker and adds its
// devices to ggml's. **Where that or anything later fails to reach the worker, the process ends**; on_lost_worker says with which words
// on standard error, and makes it status 1 instead of an abort. exit ends the process at once, whatever its threads do.
typedef void (*paguro_memory_fn)(uint64_t * available, uint64_t * total);
paguro_status paguro_local_gpus(paguro_text * out);
paguro_status paguro_lent_devices(paguro_memory_fn memory, paguro_text * out);
paguro_status paguro_worker_serve(paguro_str endpoint, size_t threads, paguro_memory_fn memory, paguro_text * out);
paguro_status paguro_worker_devices(paguro_str endpoint, paguro_text * out);
paguro_status paguro_on_lost_worker(paguro_str words, paguro_text * out);
void          paguro_exit(int status);

// {"build", "commit", "compiler", "ggml"}
paguro_status paguro_build_info(paguro_text * out);

#ifdef __cplusplus
}
#endif
