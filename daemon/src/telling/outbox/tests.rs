//! Places that hear, refuse, hang and fail, on a real socket.

use std::sync::Mutex;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;

/// What a server does with each request, in turn; the last one for ever.
#[derive(Clone, Copy)]
enum Does {
    Answer(&'static str),
    Hang,
    Close,
}

type Heard = Arc<Mutex<Vec<String>>>;

async fn server(does: &[Does]) -> (String, Heard) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/T0KEN?a=b", listener.local_addr().unwrap());
    let (heard, does) = (Heard::default(), does.to_vec());
    let hears = Arc::clone(&heard);
    tokio::spawn(async move {
        let mut kept = Vec::new();
        for n in 0.. {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut bytes = vec![0; 4096];
            let mut read = 0;
            while !complete(&bytes[..read]) {
                match stream.read(&mut bytes[read..]).await {
                    Ok(0) | Err(_) => break,
                    Ok(n) => read += n,
                }
            }
            hears.lock().unwrap().push(String::from_utf8_lossy(&bytes[..read]).into_owned());
            match does[n.min(does.len() - 1)] {
                Does::Answer(status) => {
                    let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 2\r\n\r\nok");
                    stream.write_all(answer.as_bytes()).await.ok();
                }
                Does::Hang => kept.push(stream),
                Does::Close => drop(stream),
            }
        }
    });
    (url, heard)
}

fn complete(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request).into_owned();
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length =
        head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
    body.len() >= length.unwrap_or(0)
}

fn outbox(pauses: usize) -> Outbox {
    let tries = Tries {
        patience: Duration::from_millis(300),
        pauses: vec![Duration::from_millis(10); pauses],
        rests: [10, 40].map(Duration::from_millis),
    };
    Outbox::new(tries, None)
}

async fn idle(outbox: &Outbox) {
    let ended = async {
        while !outbox.is_idle() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), ended).await.unwrap();
}

const BODY: Bytes = Bytes::from_static(b"{\"event\":\"failure\"}\n");

#[tokio::test]
async fn a_webhook_hears_the_body_and_a_heartbeat_is_asked_for() {
    let (url, heard) = server(&[Does::Answer("204 No Content")]).await;
    let mut outbox = outbox(0);
    outbox.send(&Place::Webhook(url.clone()), BODY).unwrap();
    idle(&outbox).await;
    outbox.send(&Place::Heartbeat(url), Bytes::new()).unwrap();
    idle(&outbox).await;
    assert_eq!(outbox.counted(), (2, 0));
    let heard = heard.lock().unwrap();
    assert!(heard[0].starts_with("POST /T0KEN?a=b HTTP/1.1\r\n"), "{}", heard[0]);
    assert!(heard[0].to_lowercase().contains("content-type: application/json\r\n"), "{}", heard[0]);
    assert!(heard[0].to_lowercase().contains("host: 127.0.0.1:"), "{}", heard[0]);
    assert!(heard[0].ends_with("\r\n\r\n{\"event\":\"failure\"}\n"), "{}", heard[0]);
    assert!(heard[1].starts_with("GET /T0KEN?a=b HTTP/1.1\r\n"), "{}", heard[1]);
}

/// What a place does at first is tried again, so often and no more.
#[tokio::test]
async fn failures_are_tried_again_within_bounds() {
    use Does::{Answer, Close, Hang};
    for (does, pauses, requests, counted) in [
        (&[Answer("500 no"), Close, Answer("200 OK")][..], 3, 3, (1, 0)),
        (&[Hang, Answer("200 OK")], 1, 2, (1, 0)),
        (&[Answer("500 no")], 2, 3, (0, 1)),
        (&[Answer("302 Found")], 0, 1, (0, 1)),
        (&[Hang], 1, 2, (0, 1)),
    ] {
        let (url, heard) = server(does).await;
        let mut outbox = outbox(pauses);
        outbox.send(&Place::Webhook(url), BODY).unwrap();
        idle(&outbox).await;
        assert_eq!((outbox.counted(), heard.lock().unwrap().len()), (counted, requests));
    }
    let mut refused = outbox(1);
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    refused.send(&Place::Webhook(format!("http://{free}/")), BODY).unwrap();
    refused.send(&Place::Command(vec!["/bin/sleep".into(), "60".into()]), BODY);
    refused.send(&Place::Command(vec!["/bin/false".into()]), BODY).unwrap();
    idle(&refused).await;
    assert_eq!(refused.counted(), (0, 3));
}

/// One that hangs delays none of the others, holds no more than its queue, and nobody waits for it.
#[tokio::test]
async fn a_place_that_hangs_is_in_nobodys_way() {
    let (dead, _) = server(&[Does::Hang]).await;
    let (good, heard) = server(&[Does::Answer("200 OK")]).await;
    let tries = Tries { patience: Duration::from_secs(3600), pauses: Vec::new(), ..Tries::default() };
    let mut outbox = Outbox::new(tries, None);
    let room = (0..400).filter(|_| outbox.send(&Place::Webhook(dead.clone()), BODY).is_some()).count();
    assert!((QUEUE..=QUEUE + 1).contains(&room), "{room}");
    outbox.send(&Place::Webhook(good), BODY).unwrap();
    let told = async {
        while heard.lock().unwrap().is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), told).await.unwrap();
    assert!(!outbox.is_idle());
}

/// Whoever handed something over learns what became of it; where one was given up, the next shows whether it is heard.
#[tokio::test]
async fn what_is_given_up_is_known_and_the_place_hears_again_later() {
    use Does::Answer;
    let (url, heard) =
        server(&[Answer("500 no"), Answer("500 no"), Answer("500 no"), Answer("200 OK")]).await;
    let (mut outbox, place) = (outbox(1), Place::Webhook(url));
    let mut receipts: Vec<Receipt> = (0..4).filter_map(|_| outbox.send(&place, BODY)).collect();
    assert_eq!(receipts[3].fate(), Fate::Waits);
    idle(&outbox).await;
    let fates: Vec<Fate> = receipts.iter_mut().map(Receipt::fate).collect();
    assert_eq!(fates, [Fate::GivenUp, Fate::GivenUp, Fate::Told, Fate::Told]);
    assert_eq!((outbox.counted(), heard.lock().unwrap().len()), ((2, 2), 5), "two tries, then one each");
}

/// A server that nobody vouches for hears nothing.
#[tokio::test]
async fn https_trusts_whom_the_host_trusts() {
    let (url, heard) = server(&[Does::Close]).await;
    let mut outbox = outbox(0);
    outbox.send(&Place::Webhook(url.replace("http://", "https://")), BODY).unwrap();
    idle(&outbox).await;
    assert_eq!(outbox.counted(), (0, 1));
    assert!(!heard.lock().unwrap().iter().any(|request| request.contains("T0KEN")));
}

#[test]
fn a_log_tells_no_secret_of_a_place() {
    for (place, want) in [
        (Place::Webhook("https://hooks.example/T0KEN".into()), "webhook `hooks.example`"),
        (Place::Heartbeat("https://hc.example/T0KEN".into()), "heartbeat `hc.example`"),
        (Place::Command(vec!["/bin/page".into(), "T0KEN".into()]), "command `/bin/page`"),
    ] {
        assert_eq!(place.shown(), want);
    }
}
