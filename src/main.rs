//! Parses the command line and dispatches; nothing else.

fn main() -> std::process::ExitCode {
    keyward::cli::main()
}
