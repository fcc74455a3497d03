//! What holds for every log.

use om_model::envelope::{EventEnvelope, LogPosition};
use om_store::digest;
use om_transport::log::{EventLog, LinePosition, LogScan, Prefix, Progress, Recognition};
use proptest::prelude::*;

use crate::support::{Repo, after, at_most, behind, event, from_start, poll, snapshot_request};

/// Lines of a log, some of them empty.
fn lines() -> impl Strategy<Value = Vec<String>> {
    let line = (0u64..60, any::<bool>()).prop_map(
        |(n, empty)| {
            if empty { String::new() } else { event(n) }
        },
    );
    prop::collection::vec(line, 0..24)
}

/// Pieces that are appended one after the other, cutting lines anywhere.
fn pieces() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let byte = prop_oneof![2 => Just(b'\n'), 5 => any::<u8>()];
    let short = prop::collection::vec(byte, 0..40);
    let long = (any::<u8>(), 0usize..9000).prop_map(|(byte, n)| vec![byte; n]);
    prop::collection::vec(prop_oneof![4 => short, 1 => long], 1..8)
}

/// What a scan says, in comparable form.
fn facts(scan: &LogScan) -> (u64, u64, String, Option<std::ops::Range<u64>>) {
    (
        scan.length,
        scan.line_count,
        scan.sha256.to_string(),
        scan.last_line.clone(),
    )
}

fn scan_behind(log: &EventLog, known: Option<&LogPosition>) -> LogScan {
    let progress = &mut Progress::silent();
    let prefix = known.map_or_else(Prefix::default, |known| {
        match log.recognise(known, progress).expect("readable") {
            Recognition::Same(prefix) => prefix,
            Recognition::Replaced => panic!("the log only grew"),
            Recognition::Unknown => panic!("the position is its own"),
        }
    });
    log.scan(prefix, progress).expect("readable")
}

/// `envelope` without the length of the log, which grows meanwhile.
fn without_count(mut envelope: EventEnvelope) -> EventEnvelope {
    envelope.cursor.event_line_count = 0;
    envelope
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn polling_in_batches_is_polling_at_once(
        lines in lines(),
        batches in prop::collection::vec(1u64..6, 0..12),
    ) {
        let repo = Repo::with_lines(&lines);
        let whole = repo.poll(&from_start());
        let mut envelopes = Vec::new();
        let mut request = from_start();
        for batch in batches {
            let polled = repo.poll(&at_most(batch, request));
            envelopes.extend(polled.envelopes);
            request = after(&polled.outcome.expect("the poll succeeds"));
        }
        let rest = repo.poll(&request);
        envelopes.extend(rest.envelopes);
        prop_assert_eq!(&envelopes, &whole.envelopes);
        prop_assert_eq!(rest.outcome.expect("ok"), whole.outcome.expect("ok"));
    }

    #[test]
    fn polling_a_growing_log_is_polling_the_grown_one(
        steps in prop::collection::vec((lines(), 0u64..5), 1..5),
    ) {
        let repo = Repo::new();
        let mut envelopes = Vec::new();
        let mut request = from_start();
        for (lines, limit) in steps {
            for line in lines {
                repo.append(line + "\n");
            }
            let polled = repo.poll(&at_most(limit, request));
            envelopes.extend(polled.envelopes);
            request = after(&polled.outcome.expect("the poll succeeds"));
        }
        let rest = repo.poll(&request);
        envelopes.extend(rest.envelopes);
        let whole = repo.poll(&from_start());
        let stable = |all: Vec<EventEnvelope>| all.into_iter().map(without_count).collect::<Vec<_>>();
        prop_assert_eq!(stable(envelopes), stable(whole.envelopes));
        prop_assert_eq!(rest.outcome.expect("ok"), whole.outcome.expect("ok"));
    }

    #[test]
    fn a_pass_sees_what_a_poll_emits(lines in lines(), limit in 0u64..9, offset in 0u64..9) {
        let repo = Repo::with_lines(&lines);
        let cursor = format!("{{\"eventLineOffset\":{offset}}}");
        let request = at_most(limit, behind(cursor.as_bytes()));
        let polled = repo.poll(&request);
        match (repo.observe(&request), polled.outcome) {
            (Ok(observed), Ok(cursor)) => {
                prop_assert_eq!(observed.cursor, cursor);
                prop_assert_eq!(observed.batch.sequence.count, polled.envelopes.len() as u64);
                let last = polled.envelopes.last().map(om_model::json::to_value);
                prop_assert_eq!(observed.batch.last, last);
            }
            (Err(observed), Err(polled)) => {
                prop_assert_eq!(observed.to_string(), polled.to_string());
            }
            (observed, polled) => prop_assert!(false, "{observed:?} and {polled:?}"),
        }
    }

    #[test]
    fn a_warm_scan_is_a_cold_scan(pieces in pieces()) {
        let repo = Repo::new();
        let mut content = Vec::new();
        let mut known: Option<LogPosition> = None;
        for piece in pieces {
            repo.append(&piece);
            content.extend_from_slice(&piece);
            let log = EventLog::open(&repo.events()).expect("opened");
            let warm = scan_behind(&log, known.as_ref());
            let cold = scan_behind(&log, None);
            prop_assert_eq!(facts(&warm), facts(&cold));
            prop_assert_eq!(warm.sha256, digest(&content));
            let end = LinePosition { line: warm.line_count, byte_offset: warm.length };
            let position = log.position(&warm, end).expect("readable");
            prop_assert_eq!(&position, &log.position(&cold, end).expect("readable"));
            known = Some(position);
        }
    }

    #[test]
    fn a_scan_knows_the_last_complete_line(pieces in pieces()) {
        let content = pieces.concat();
        let repo = Repo::new();
        repo.append(&content);
        let log = EventLog::open(&repo.events()).expect("opened");
        let scan = scan_behind(&log, None);
        let complete = content.iter().rposition(|&b| b == b'\n').map_or(0, |at| at + 1);
        prop_assert_eq!(scan.length, complete as u64);
        let last = scan.last_line.map(|range| log.bytes(range).expect("readable"));
        let expected = content[..complete].split_inclusive(|&b| b == b'\n').next_back();
        prop_assert_eq!(last.as_deref(), expected.map(|line| &line[..line.len() - 1]));
    }

    #[test]
    fn no_bytes_make_a_poll_panic(pieces in pieces(), cursor in prop::collection::vec(any::<u8>(), 0..30)) {
        let repo = Repo::new();
        repo.append(pieces.concat());
        let mut transport = repo.transport();
        // Outcomes are other tests' business.
        let _ = transport.snapshot(&snapshot_request(None));
        let _ = transport.events(&behind(&cursor));
        let polled = poll(&mut transport, &from_start());
        let reached = polled.outcome.map_or_else(|e| e.events_ingested, |_| polled.envelopes.len() as u64);
        prop_assert_eq!(reached, polled.envelopes.len() as u64);
    }
}
