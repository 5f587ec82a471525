//! Server reflection, so that grpcurl and its kind need no proto files.
//!
//! Both versions, v1 and v1alpha: Python's client still speaks only the older. The error details' descriptors are part
//! of it, or clients would print a BadRequest as base64.

use tonic::service::Routes;
use tonic_reflection::server::Builder;

use super::MAX_REQUEST;

/// Adds reflection over the `contract`'s descriptors (an encoded `FileDescriptorSet` with all its imports), health's and
/// the error details'.
///
/// # Panics
/// If `contract` is not a `FileDescriptorSet`: it is compiled into the program.
#[must_use]
pub fn add(routes: Routes, contract: &'static [u8]) -> Routes {
    const VALID: &str = "descriptors compiled into the program are valid";
    let new = builder(contract).build_v1().expect(VALID);
    let old = builder(contract).build_v1alpha().expect(VALID);
    routes
        .add_service(new.max_decoding_message_size(MAX_REQUEST))
        .add_service(old.max_decoding_message_size(MAX_REQUEST))
}

fn builder(contract: &'static [u8]) -> Builder<'static> {
    Builder::configure()
        .register_encoded_file_descriptor_set(contract)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_descriptors_compiled_into_the_program_are_valid() {
        let _ = add(Routes::default(), crate::api::proto::DESCRIPTORS);
    }
}
