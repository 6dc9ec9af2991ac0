//! The server over gRPC from Rust. In one terminal `make run`, in another:
//!
//! ```console
//! cargo run --example grpc_client                          # a picture of this checkout
//! cargo run --example grpc_client -- photo.jpg other.jpg
//! ```
//!
//! `CENET_GRPC_ADDR` names another address than `127.0.0.1:8001`. A crate of its own generates the same types from
//! `proto/vision.proto`.

use std::error::Error;
use std::path::PathBuf;

use cenet_serve::serve::grpc::proto::vision::classify_result::Outcome;
use cenet_serve::serve::grpc::proto::vision::vision_client::VisionClient;
use cenet_serve::serve::grpc::proto::vision::{ClassifyRequest, ClassifyResult};
use tonic::Request;
use tonic::transport::Endpoint;

const PICTURE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/models/ce_resnet_caltech101/1/golden.png");

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::var("CENET_GRPC_ADDR").unwrap_or_else(|_| "127.0.0.1:8001".into());
    let mut files: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    if files.is_empty() {
        files.push(PICTURE.into());
    }
    let channel = Endpoint::from_shared(format!("http://{address}"))?.connect().await?;
    let images: Result<Vec<_>, _> = files.iter().map(|file| std::fs::read(file).map(Into::into)).collect();
    let mut request = Request::new(ClassifyRequest { images: images?, top_k: Some(3), ..ClassifyRequest::default() });
    request.set_timeout(std::time::Duration::from_secs(5));
    let answer = VisionClient::new(channel).classify(request).await?.into_inner();
    for (file, result) in files.iter().zip(answer.results) {
        println!("{}: {}", file.display(), told(result));
    }
    Ok(())
}

/// One picture's labels, or what is wrong with it.
fn told(result: ClassifyResult) -> String {
    match result.outcome {
        Some(Outcome::Classification(found)) => {
            let labels = found.predictions.iter().map(|one| format!("{} {:.3}", one.label, one.score));
            labels.collect::<Vec<_>>().join(", ")
        }
        Some(Outcome::Error(error)) => format!("{}: {}", error.code, error.message),
        None => "no answer".into(),
    }
}
