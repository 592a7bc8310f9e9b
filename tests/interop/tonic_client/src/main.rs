// What node_clients_test.py has this client do to a node: HOST:PORT DISK FOREIGN-DISK [CA].
// Prints "ok <case>" for each; whatever goes wrong ends it.
use std::time::{Duration, Instant};

use tonic::codec::CompressionEncoding;
use tonic::metadata::MetadataValue;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use tonic::{Code, Request};

pub mod mayastor {
    tonic::include_proto!("mayastor.v1");
}
pub mod node {
    tonic::include_proto!("capstan.node.v1");
}
pub mod rpc {
    tonic::include_proto!("google.rpc");
}

use mayastor::pool_rpc_client::PoolRpcClient;
use mayastor::{CreatePoolRequest, DestroyPoolRequest, ListPoolOptions};
use node::node_rpc_client::NodeRpcClient;
use node::{DescribeOperationsRequest, MonitorEventsRequest};
use prost::Message;

fn pool(disk: &str) -> CreatePoolRequest {
    CreatePoolRequest {
        name: "p".into(),
        disks: vec![disk.into()],
        ..Default::default()
    }
}

async fn connect(address: &str, ca: Option<&String>) -> Channel {
    let scheme = if ca.is_some() { "https" } else { "http" };
    let mut endpoint = Endpoint::from_shared(format!("{scheme}://{address}")).unwrap();
    if let Some(path) = ca {
        let authority = Certificate::from_pem(std::fs::read(path).unwrap());
        endpoint = endpoint
            .tls_config(ClientTlsConfig::new().ca_certificate(authority))
            .unwrap();
    }
    endpoint.connect().await.unwrap()
}

// An error that says what is wrong with which field.
async fn errors(pools: &mut PoolRpcClient<Channel>) {
    let wrong = CreatePoolRequest {
        name: "p".into(),
        ..Default::default()
    };
    let status = pools.create_pool(wrong).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(status.message().contains("missing devices"), "{status:?}");
    let details = rpc::Status::decode(status.details()).unwrap();
    assert_eq!(details.message, status.message());
    let bad = details
        .details
        .iter()
        .find(|d| d.type_url.ends_with("google.rpc.BadRequest"));
    let bad = rpc::BadRequest::decode(bad.unwrap().value.as_slice()).unwrap();
    assert_eq!(bad.field_violations[0].field, "disks");
    println!("ok error");
}

// The node refuses a disk with somebody's data on it, unless metadata insists.
async fn metadata(pools: &mut PoolRpcClient<Channel>, foreign: &str) {
    let status = pools.create_pool(pool(foreign)).await.unwrap_err();
    assert_ne!(status.code(), Code::Unavailable);
    let mut insisting = Request::new(pool(foreign));
    insisting
        .metadata_mut()
        .insert("capstan-force", MetadataValue::from_static("true"));
    insisting
        .metadata_mut()
        .insert_bin("some-bin", MetadataValue::from_bytes(b"\x00\xff"));
    assert_eq!(
        pools
            .create_pool(insisting)
            .await
            .unwrap()
            .into_inner()
            .name,
        "p"
    );
    let gone = DestroyPoolRequest {
        name: "p".into(),
        ..Default::default()
    };
    pools.destroy_pool(gone).await.unwrap();
    println!("ok metadata");
}

async fn events(channel: Channel, disk: &str) {
    let mut nodes = NodeRpcClient::new(channel.clone());
    let mut pools = PoolRpcClient::new(channel);
    let wanted = MonitorEventsRequest {
        categories: vec!["pool".into()],
        ..Default::default()
    };
    let mut stream = nodes.monitor_events(wanted).await.unwrap().into_inner();
    pools.create_pool(pool(disk)).await.unwrap();
    let event = stream.message().await.unwrap().unwrap();
    assert_eq!(
        (event.category.as_str(), event.action.as_str()),
        ("pool", "create")
    );
    let listed = pools
        .list_pools(ListPoolOptions::default())
        .await
        .unwrap()
        .into_inner();
    assert_eq!(listed.pools.len(), 1);
    let gone = DestroyPoolRequest {
        name: "p".into(),
        ..Default::default()
    };
    pools.destroy_pool(gone).await.unwrap();
    println!("ok events");
}

async fn deadline(nodes: &mut NodeRpcClient<Channel>) {
    let began = Instant::now();
    let mut late = Request::new(MonitorEventsRequest {
        categories: vec!["store".into()],
        ..Default::default()
    });
    late.set_timeout(Duration::from_millis(300));
    let code = match nodes.monitor_events(late).await {
        Err(status) => status.code(),
        Ok(stream) => stream.into_inner().message().await.unwrap_err().code(),
    };
    // tonic's own timer says Cancelled when it is the first to notice.
    assert!(
        code == Code::DeadlineExceeded || code == Code::Cancelled,
        "{code:?}"
    );
    assert!(began.elapsed() >= Duration::from_millis(250));
    println!("ok deadline");
}

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let channel = connect(&arguments[1], arguments.get(4)).await;
    let mut pools = PoolRpcClient::new(channel.clone());
    let mut nodes = NodeRpcClient::new(channel.clone());
    let listed = pools
        .list_pools(ListPoolOptions::default())
        .await
        .unwrap()
        .into_inner();
    assert!(listed.pools.is_empty());
    println!("ok list");
    errors(&mut pools).await;
    metadata(&mut pools, &arguments[3]).await;
    events(channel.clone(), &arguments[2]).await;
    deadline(&mut nodes).await;
    let mut packed = NodeRpcClient::new(channel)
        .accept_compressed(CompressionEncoding::Gzip)
        .send_compressed(CompressionEncoding::Gzip);
    let request = DescribeOperationsRequest {
        prefix: "mayastor.v1.".into(),
    };
    let described = packed
        .describe_operations(request)
        .await
        .unwrap()
        .into_inner();
    assert!(described.operations.len() > 10);
    println!("ok gzip");
    let calls = (0..200).map(|_| {
        let mut pools = pools.clone();
        tokio::spawn(async move { pools.list_pools(ListPoolOptions::default()).await.unwrap() })
    });
    for one in calls.collect::<Vec<_>>() {
        one.await.unwrap();
    }
    println!("ok many");
}
