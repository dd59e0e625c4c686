// Which of ggml's devices are this machine's.
#pragma once

#include <cstddef>
#include <vector>

namespace paguro {

// Indices of this machine's GPUs as llama.cpp chooses them by itself: the discrete ones, each once though two backends may see it, else
// those that share the machine's memory. A worker's devices call themselves GPUs too and are none of them.
std::vector<size_t> local_gpus();

}  // namespace paguro
