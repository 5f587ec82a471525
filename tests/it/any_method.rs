//! Calls of any method of the contract by its name, with a request in JSON: what is known of it comes from the descriptors. Of a
//! stream the first message is the answer.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use keyward::api::proto::DESCRIPTORS;
use prost_reflect::prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage, MethodDescriptor};
use tonic::client::Grpc;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::transport::Channel;
use tonic::{Request, Status};

use crate::harness::channel;

/// Calls any method with a request in JSON.
pub(crate) struct Wire {
    channel: Channel,
    methods: BTreeMap<String, MethodDescriptor>,
}

impl Wire {
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self {
            channel: channel(address),
            methods: methods(),
        }
    }

    pub(crate) async fn call(
        &self,
        method: &str,
        json: &str,
        authorization: Option<&str>,
    ) -> Result<DynamicMessage, Status> {
        let method = &self.methods[method];
        let mut json = serde_json::Deserializer::from_str(json);
        let message = DynamicMessage::deserialize(method.input(), &mut json)
            .expect("the row fits its method");
        let mut request = Request::new(message);
        if let Some(header) = authorization {
            request
                .metadata_mut()
                .insert("authorization", header.parse().expect("it is printable"));
        }
        let path = format!("/{}/{}", method.parent_service().full_name(), method.name());
        let mut grpc = Grpc::new(self.channel.clone());
        grpc.ready().await.expect("the server runs");
        let path = path.parse().expect("a method has a path");
        let codec = Dynamic(method.clone());
        if method.is_server_streaming() {
            // One message that is sent and no more to come: on the wire a stream of requests is no different.
            let request = request.map(tokio_stream::once);
            let mut stream = grpc.streaming(request, path, codec).await?.into_inner();
            let first = stream.message().await?;
            return Ok(first.expect("a stream has something to say"));
        }
        let answer = grpc.unary(request, path, codec).await;
        answer.map(tonic::Response::into_inner)
    }
}

/// The methods of the contract.
pub(crate) fn methods() -> BTreeMap<String, MethodDescriptor> {
    let pool = DescriptorPool::decode(DESCRIPTORS).expect("the descriptors are compiled in");
    let methods = pool
        .services()
        .flat_map(|service| service.methods().collect::<Vec<_>>());
    methods
        .map(|method| (method.name().to_owned(), method))
        .collect()
}

/// Messages known by their descriptors alone.
struct Dynamic(MethodDescriptor);

struct Known(MethodDescriptor);

impl Codec for Dynamic {
    type Encode = DynamicMessage;
    type Decode = DynamicMessage;
    type Encoder = Known;
    type Decoder = Known;

    fn encoder(&mut self) -> Known {
        Known(self.0.clone())
    }

    fn decoder(&mut self) -> Known {
        Known(self.0.clone())
    }
}

impl Encoder for Known {
    type Item = DynamicMessage;
    type Error = Status;

    fn encode(&mut self, item: DynamicMessage, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        item.encode(buffer)
            .map_err(|error| Status::internal(error.to_string()))
    }
}

impl Decoder for Known {
    type Item = DynamicMessage;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<DynamicMessage>, Status> {
        let decoded = DynamicMessage::decode(self.0.output(), buffer);
        decoded
            .map(Some)
            .map_err(|error| Status::internal(error.to_string()))
    }
}
