//! Compiles `proto/` into the build directory without protoc, and keeps the descriptors (comments included) for
//! reflection and for the command line's JSON.

use std::path::PathBuf;

use prost::Message as _;
use protox::Compiler;

type Failure = Box<dyn std::error::Error>;

const PUBLIC: [&str; 4] = [
    "keyward/v1/credentials.proto",
    "keyward/v1/directory.proto",
    "keyward/v1/events.proto",
    "keyward/v1/usage.proto",
];
const STORED: [&str; 1] = ["keyward/stored/v1/records.proto"];

/// Messages that hold a secret: their `Debug` is written by hand (`src/api/proto.rs`) and redacts it.
const SECRET_BEARING: [&str; 5] = [
    "keyward.v1.ValidateCredentialsRequest",
    "keyward.v1.IdAndSecret",
    "keyward.v1.CreateTokenResponse",
    "keyward.v1.RekeyResponse",
    "keyward.v1.ImportTokenRequest",
];
const SECRET_BEARING_STORED: [&str; 2] = ["keyward.stored.v1.Secret", "keyward.stored.v1.Replay"];

fn main() -> Result<(), Failure> {
    println!("cargo::rerun-if-changed=proto");
    let out = PathBuf::from(std::env::var("OUT_DIR")?);

    let public = descriptors(&PUBLIC)?;
    std::fs::write(out.join("keyward_v1.bin"), public.encode_to_vec())?;
    tonic_prost_build::configure()
        .btree_map(".")
        .skip_debug(SECRET_BEARING)
        .codec_path("crate::api::codec::Codec")
        .compile_fds(public)?;

    tonic_prost_build::configure()
        .btree_map(".")
        .skip_debug(SECRET_BEARING_STORED)
        .build_client(false)
        .build_server(false)
        .compile_fds(descriptors(&STORED)?)?;
    Ok(())
}

fn descriptors(files: &[&str]) -> Result<prost_types::FileDescriptorSet, Failure> {
    let mut compiler = Compiler::new(["proto"])?;
    compiler.include_source_info(true).include_imports(true);
    for file in files {
        compiler.open_file(file)?;
    }
    Ok(compiler.file_descriptor_set())
}
