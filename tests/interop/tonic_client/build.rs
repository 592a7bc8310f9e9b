// Compiles the node's contract, whose folder CAPSTAN_API names, and the service that servers are
// measured with.
fn main() {
    let api = std::env::var("CAPSTAN_API").expect("CAPSTAN_API names the folder api");
    println!("cargo:rerun-if-env-changed=CAPSTAN_API");
    println!("cargo:rerun-if-changed={api}");
    let files = [
        format!("{api}/mayastor/v1/pool.proto"),
        format!("{api}/node/node.proto"),
        format!("{api}/google/rpc/status.proto"),
        format!("{api}/google/rpc/error_details.proto"),
    ];
    tonic_build::configure()
        .build_server(false)
        .compile_protos(&files, &[format!("{api}/mayastor/v1"), api.clone()])
        .expect("the contract compiles");
    let tests = format!("{api}/../tests/interop");
    tonic_build::configure()
        .build_client(false)
        .compile_protos(&[format!("{tests}/grpc_testing.proto")], &[tests])
        .expect("the test service compiles");
}
