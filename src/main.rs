//! The binary: allocator, arguments, exit code. Everything else is in the library.

use std::process::ExitCode;

/// Several allocations per flow cost half with it (`benches/`).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    shadowtap::cli::main(std::env::args_os())
}
