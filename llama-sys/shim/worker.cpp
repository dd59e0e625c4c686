// llama.cpp's RPC backend: lending this machine's devices, and borrowing another's.

#include "devices.h"
#include "guard.h"
#include "json.h"

#include "ggml-backend-impl.h"
#include "ggml-backend.h"
#include "ggml-rpc.h"
#include "ggml.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#ifndef _WIN32
#include <unistd.h>
#endif

namespace {

// What is said when the connection to a worker breaks.
std::string lost_words;

// ggml calls it in place of its own message, and aborts afterwards.
void on_abort(const char * message) {
    const std::string_view text = message;
    if (text.find("ggml-rpc") == std::string_view::npos) {
        std::fprintf(stderr, "%s\n", message);
        return;
    }
    // `path/ggml-rpc.cpp:123: Remote RPC server crashed …`
    const size_t place = text.find(".cpp:");
    const size_t colon = place == std::string_view::npos ? place : text.find(": ", place);
    const auto   cause = colon == std::string_view::npos ? text : text.substr(colon + 2);
    // On a terminal there may be half a line already.
#ifndef _WIN32
    const char * start = isatty(STDERR_FILENO) ? "\n" : "";
#else
    const char * start = "";
#endif
    std::fprintf(stderr, "%s%s (%.*s)\n", start, lost_words.c_str(), static_cast<int>(cause.find_last_not_of('\n') + 1), cause.data());
    // Threads of llama.cpp run on: what ends a program in order would pull their data from under them.
    std::_Exit(1);
}

// The CPU as ggml lends it calls all of the machine's memory free. This is the same device with the memory that is.
paguro_memory_fn    memory_of_machine = nullptr;
ggml_backend_device lent_cpu;
ggml_backend_dev_t  real_cpu = nullptr;

void lent_memory(ggml_backend_dev_t, size_t * free, size_t * total) {
    uint64_t available = 0, all = 0;
    memory_of_machine(&available, &all);
    *free  = available;
    *total = all;
}

ggml_backend_t lent_backend(ggml_backend_dev_t, const char * params) {
    ggml_backend_t backend = real_cpu->iface.init_backend(real_cpu, params);
    if (backend) {
        // The server asks a backend's device for its memory.
        backend->device = &lent_cpu;
    }
    return backend;
}

ggml_backend_dev_t honest(ggml_backend_dev_t cpu) {
    real_cpu                    = cpu;
    lent_cpu                    = *cpu;
    lent_cpu.iface.get_memory   = lent_memory;
    lent_cpu.iface.init_backend = lent_backend;
    return &lent_cpu;
}

// What a worker lends: the GPUs, or the CPU where there is none, as llama.cpp's own server does it.
std::vector<ggml_backend_dev_t> lent_devices(paguro_memory_fn memory) {
    if (!memory) {
        throw paguro::input_error("no function that tells the memory was passed");
    }
    memory_of_machine = memory;
    std::vector<ggml_backend_dev_t> list;
    for (size_t index : paguro::local_gpus()) {
        list.push_back(ggml_backend_dev_get(index));
    }
    ggml_backend_dev_t cpu = ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU);
    if (list.empty() && cpu) {
        list.push_back(honest(cpu));
    }
    if (list.empty()) {
        throw std::runtime_error("llama.cpp finds no device to lend");
    }
    return list;
}

common_json described(const std::vector<ggml_backend_dev_t> & devices) {
    common_json list = common_json::array();
    for (ggml_backend_dev_t device : devices) {
        size_t free  = 0;
        size_t total = 0;
        ggml_backend_dev_memory(device, &free, &total);
        size_t index = 0;
        while (index < ggml_backend_dev_count() && ggml_backend_dev_get(index) != device) {
            index++;
        }
        common_json item = common_json::object();
        item["name"]     = ggml_backend_dev_name(device);
        item["index"]    = index;
        item["free"]     = free;
        item["total"]    = total;
        list.push_back(item);
    }
    return list;
}

}  // namespace

std::vector<size_t> paguro::local_gpus() {
    std::vector<size_t> gpus, integrated;
    const auto          id = [](size_t index) {
        ggml_backend_dev_props props;
        ggml_backend_dev_get_props(ggml_backend_dev_get(index), &props);
        return props.device_id;
    };
    for (size_t i = 0; i < ggml_backend_dev_count(); i++) {
        ggml_backend_dev_t device = ggml_backend_dev_get(i);
        if (ggml_backend_dev_backend_reg(device) == ggml_backend_rpc_reg()) {
            continue;
        }
        const auto seen = [&](size_t other) { return id(i) && id(other) && std::strcmp(id(i), id(other)) == 0; };
        switch (ggml_backend_dev_type(device)) {
            case GGML_BACKEND_DEVICE_TYPE_GPU:
                if (std::none_of(gpus.begin(), gpus.end(), seen)) {
                    gpus.push_back(i);
                }
                break;
            case GGML_BACKEND_DEVICE_TYPE_IGPU:
                integrated.push_back(i);
                break;
            default:
                break;
        }
    }
    return gpus.empty() ? integrated : gpus;
}

extern "C" paguro_status paguro_local_gpus(paguro_text * out) {
    return paguro::guard(out, [&] {
        common_json list = common_json::array();
        for (size_t index : paguro::local_gpus()) {
            list.push_back(index);
        }
        paguro::put(out, list.dump_safe());
    });
}

extern "C" paguro_status paguro_lent_devices(paguro_memory_fn memory, paguro_text * out) {
    return paguro::guard(out, [&] { paguro::put(out, described(lent_devices(memory)).dump_safe()); });
}

extern "C" paguro_status paguro_worker_serve(paguro_str endpoint, size_t threads, paguro_memory_fn memory, paguro_text * out) {
    return paguro::guard(out, [&] {
        std::vector<ggml_backend_dev_t> devices = lent_devices(memory);
        // The server tells standard output whatever it does.
#ifdef _WIN32
        const char * nowhere = "NUL";
#else
        const char * nowhere = "/dev/null";
#endif
        if (!std::freopen(nowhere, "w", stdout)) {
            throw std::runtime_error("standard output cannot be switched off");
        }
        ggml_backend_rpc_start_server(std::string(paguro::view(endpoint)).c_str(), nullptr, threads, devices.size(), devices.data());
        throw std::runtime_error("llama.cpp's server ended");
    });
}

extern "C" paguro_status paguro_worker_devices(paguro_str endpoint, paguro_text * out) {
    return paguro::guard(out, [&] {
        const std::string address(paguro::view(endpoint));
        if (address.find(':') == std::string::npos) {
            throw paguro::input_error("the address of a worker is HOST:PORT");
        }
        ggml_backend_reg_t reg = ggml_backend_rpc_add_server(address.c_str());
        if (!reg) {
            throw std::runtime_error("it lends no device");
        }
        ggml_backend_register(reg);
        std::vector<ggml_backend_dev_t> devices;
        for (size_t i = 0; i < ggml_backend_reg_dev_count(reg); i++) {
            devices.push_back(ggml_backend_reg_dev_get(reg, i));
        }
        paguro::put(out, described(devices).dump_safe());
    });
}

extern "C" paguro_status paguro_on_lost_worker(paguro_str words, paguro_text * out) {
    return paguro::guard(out, [&] {
        lost_words = std::string(paguro::view(words));
        ggml_set_abort_callback(on_abort);
    });
}

extern "C" void paguro_exit(int status) {
    std::_Exit(status);
}
