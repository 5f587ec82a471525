//! Tests from outside: a story a file.

mod tidy;
