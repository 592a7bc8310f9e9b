// tonic as a peer of grpc_bench: echoes on the address given, on one thread as ours does.
use tonic::transport::Server;
use tonic::{Request, Response, Status, Streaming};

pub mod testing {
    tonic::include_proto!("grpc.testing");
}

use testing::test_service_server::{TestService, TestServiceServer};
use testing::*;

type Answers<T> = tonic::codegen::BoxStream<T>;

struct Echo;

#[tonic::async_trait]
impl TestService for Echo {
    type StreamingOutputCallStream = Answers<StreamingOutputCallResponse>;
    type FullDuplexCallStream = Answers<StreamingOutputCallResponse>;
    type HalfDuplexCallStream = Answers<StreamingOutputCallResponse>;

    async fn empty_call(&self, _: Request<Empty>) -> Result<Response<Empty>, Status> {
        Ok(Response::new(Empty {}))
    }
    async fn unary_call(
        &self,
        request: Request<SimpleRequest>,
    ) -> Result<Response<SimpleResponse>, Status> {
        let payload = request
            .into_inner()
            .payload
            .or_else(|| Some(Payload::default()));
        Ok(Response::new(SimpleResponse {
            payload,
            ..Default::default()
        }))
    }
    async fn cacheable_unary_call(
        &self,
        request: Request<SimpleRequest>,
    ) -> Result<Response<SimpleResponse>, Status> {
        self.unary_call(request).await
    }
    async fn unimplemented_call(&self, _: Request<Empty>) -> Result<Response<Empty>, Status> {
        Err(Status::unimplemented("as its name says"))
    }
    async fn half_duplex_call(
        &self,
        _: Request<Streaming<StreamingOutputCallRequest>>,
    ) -> Result<Response<Self::HalfDuplexCallStream>, Status> {
        Err(Status::unimplemented("not measured"))
    }
    async fn streaming_output_call(
        &self,
        _: Request<StreamingOutputCallRequest>,
    ) -> Result<Response<Self::StreamingOutputCallStream>, Status> {
        Err(Status::unimplemented("not measured"))
    }
    async fn streaming_input_call(
        &self,
        _: Request<Streaming<StreamingInputCallRequest>>,
    ) -> Result<Response<StreamingInputCallResponse>, Status> {
        Err(Status::unimplemented("not measured"))
    }
    async fn full_duplex_call(
        &self,
        _: Request<Streaming<StreamingOutputCallRequest>>,
    ) -> Result<Response<Self::FullDuplexCallStream>, Status> {
        Err(Status::unimplemented("not measured"))
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args().nth(1).ok_or("HOST:PORT")?.parse()?;
    let service = TestServiceServer::new(Echo).max_decoding_message_size(8 << 20);
    Server::builder()
        .tcp_nodelay(true)
        .add_service(service)
        .serve(address)
        .await?;
    Ok(())
}
