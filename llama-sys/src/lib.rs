//! llama-sys
pub use llama_cpp_2; pub use llama_cpp_sys_2;
