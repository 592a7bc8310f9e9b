// Why this file exists: the released Rust client's own calls against a server.
//   capstan-datastore-client check HOST PORT    every method once, with the answers it must give
//   capstan-datastore-client bench HOST PORT    latency of one call, 64 parallel calls, 1 MiB values
// Ends with 0 and "ok", or says what was wrong. Built for several versions of the client.
use simd_r_drive_ws_client::{AsyncDataStoreReader, AsyncDataStoreWriter, WsClient};
use std::sync::Arc;
use std::time::{Duration, Instant};

type Outcome = Result<(), String>;

fn expect<T: PartialEq + std::fmt::Debug>(what: &str, got: T, wanted: T) -> Outcome {
    if got == wanted {
        return Ok(());
    }
    Err(format!("{what}: got {got:?}, wanted {wanted:?}"))
}

fn text<E: std::fmt::Display>(error: E) -> String {
    error.to_string()
}

fn pattern(size: usize, modulus: usize) -> Vec<u8> {
    (0..size).map(|i| (i % modulus) as u8).collect()
}

async fn check(client: &WsClient) -> Outcome {
    expect("is_empty", client.is_empty().await.map_err(text)?, true)?;
    expect("len", client.len().await.map_err(text)?, 0)?;
    let first = client.write(b"hello", b"world").await.map_err(text)?;
    expect("tail after 5 bytes", first, 25)?;
    let read = client.read(b"hello").await.map_err(text)?;
    expect("read", read.as_deref(), Some(&b"world"[..]))?;
    expect("read missing", client.read(b"nope").await.map_err(text)?.is_none(), true)?;
    expect("exists", client.exists(b"hello").await.map_err(text)?, true)?;
    expect("exists missing", client.exists(b"nope").await.map_err(text)?, false)?;

    let batch: Vec<(&[u8], &[u8])> = vec![(b"k1", b"v1"), (b"k2", b"v22")];
    let tail = client.batch_write(&batch).await.map_err(text)?;
    expect("tail grows", tail > first, true)?;
    let keys: Vec<&[u8]> = vec![b"k1", b"nope", b"k2"];
    let values = client.batch_read(&keys).await.map_err(text)?;
    expect("batch_read", values.len(), 3)?;
    expect("batch_read 0", values[0].as_deref(), Some(&b"v1"[..]))?;
    expect("batch_read 1", values[1].is_none(), true)?;
    expect("batch_read 2", values[2].as_deref(), Some(&b"v22"[..]))?;
    expect("len", client.len().await.map_err(text)?, 3)?;

    for (value, refusal) in [
        (&b""[..], "Payload cannot be empty."),
        (&b"\0"[..], "NULL-byte payloads cannot be written directly."),
    ] {
        match client.write(b"bad", value).await {
            Ok(_) => return Err(format!("{value:?} was written")),
            Err(error) if error.to_string().contains(refusal) => {}
            Err(error) => return Err(format!("{value:?} was refused with '{error}'")),
        }
    }

    // Every size around the borders of headers, metadata and frames.
    for size in [1, 2, 254, 255, 256, 65_500, 65_521, 65_535, 65_536, 131_057, 200_000, 3_000_000] {
        for modulus in [1, 2, 3, 5, 16, 251] {
            let mut value = pattern(size, modulus);
            value[0] = 1;
            client.write(b"sized", &value).await.map_err(text)?;
            let back = client.read(b"sized").await.map_err(text)?;
            expect(&format!("{size} bytes, {modulus} values"), back == Some(value), true)?;
        }
    }
    let many: Vec<Vec<u8>> = (0..5000).map(|i| format!("key-{i}").into_bytes()).collect();
    let entries: Vec<(&[u8], &[u8])> = many.iter().map(|k| (k.as_slice(), k.as_slice())).collect();
    client.batch_write(&entries).await.map_err(text)?;
    let wanted: Vec<&[u8]> = many.iter().map(|k| k.as_slice()).collect();
    let got = client.batch_read(&wanted).await.map_err(text)?;
    expect("5000 of a batch", got.iter().zip(&many).all(|(g, k)| g.as_ref() == Some(k)), true)?;

    let size = client.file_size().await.map_err(text)?;
    let after = client.delete(b"hello").await.map_err(text)?;
    expect("tail after a delete", after, size + 21)?;
    expect("deleting nothing", client.delete(b"hello").await.map_err(text)?, after)?;
    expect("gone", client.exists(b"hello").await.map_err(text)?, false)?;
    expect("is_empty", client.is_empty().await.map_err(text)?, false)
}

async fn parallel(client: Arc<WsClient>) -> Outcome {
    let mut tasks = Vec::new();
    for task in 0..64 {
        let client = client.clone();
        tasks.push(tokio::spawn(async move {
            for i in 0..50 {
                let key = format!("t{task}-{i}").into_bytes();
                client.write(&key, &key).await.map_err(text)?;
                let back = client.read(&key).await.map_err(text)?;
                expect("parallel", back, Some(key))?;
            }
            Ok::<(), String>(())
        }));
    }
    for task in tasks {
        task.await.map_err(text)??;
    }
    Ok(())
}

async fn bench(client: Arc<WsClient>) -> Outcome {
    let value = pattern(100, 251);
    client.write(b"bench", &value).await.map_err(text)?;
    let mut times: Vec<Duration> = Vec::new();
    let until = Instant::now() + Duration::from_secs(3);
    while Instant::now() < until {
        let before = Instant::now();
        client.read(b"bench").await.map_err(text)?;
        times.push(before.elapsed());
    }
    times.sort();
    println!("one call: median {} us", times[times.len() / 2].as_micros());

    let count = 64;
    let mut rounds = 0;
    let before = Instant::now();
    while before.elapsed() < Duration::from_secs(3) {
        let mut tasks = Vec::new();
        for _ in 0..count {
            let client = client.clone();
            tasks.push(tokio::spawn(async move { client.read(b"bench").await.map(|_| ()) }));
        }
        for task in tasks {
            task.await.map_err(text)?.map_err(text)?;
        }
        rounds += 1;
    }
    let rate = (count * rounds) as f64 / before.elapsed().as_secs_f64();
    println!("64 parallel calls: {rate:.0} calls/s");

    let large = pattern(1 << 20, 251);
    let before = Instant::now();
    for _ in 0..20 {
        client.write(b"large", &large).await.map_err(text)?;
    }
    println!("write of 1 MiB: {} us", (before.elapsed() / 20).as_micros());
    let before = Instant::now();
    for _ in 0..20 {
        client.read(b"large").await.map_err(text)?;
    }
    println!("read of 1 MiB: {} us", (before.elapsed() / 20).as_micros());
    Ok(())
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if arguments.len() != 4 {
        eprintln!("usage: {} check|bench HOST PORT", arguments[0]);
        std::process::exit(2);
    }
    let port: u16 = arguments[3].parse().expect("a port");
    let client = Arc::new(WsClient::new(&arguments[2], port).await.expect("a connection"));
    let outcome = match arguments[1].as_str() {
        "check" => match check(&client).await {
            Ok(()) => parallel(client).await,
            failed => failed,
        },
        _ => bench(client).await,
    };
    match outcome {
        Ok(()) => println!("ok"),
        Err(why) => {
            println!("{why}");
            std::process::exit(1);
        }
    }
}
