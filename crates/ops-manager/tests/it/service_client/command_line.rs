//! The flags of §3.3.2.

use super::run;

#[test]
fn flags_are_checked_in_the_contract_s_order() {
    let seconds = "timeout/backoff values must be non-negative integers";
    // Every flag added repairs one failure; the next one comes up.
    let steps = [
        (&[][..], "--method is required"),
        (&["--method", "get"], "--method must be GET or POST"),
        (&["--method", "POST"], "--base-url is required"),
        (&["--base-url", "http://127.0.0.1:1"], "--path is required"),
        (
            &["--path", "/ops/control", "--retry-attempts", "0"],
            "--retry-attempts must be an integer >= 1",
        ),
        (
            &["--retry-attempts", "01", "--retry-backoff-seconds", "-1"],
            seconds,
        ),
        (
            &[
                "--retry-backoff-seconds",
                "0",
                "--connect-timeout-seconds",
                "",
            ],
            seconds,
        ),
        (
            &[
                "--connect-timeout-seconds",
                "5",
                "--max-time-seconds",
                "1.5",
            ],
            seconds,
        ),
        (
            &["--max-time-seconds", "30"],
            "--body-file is required for POST",
        ),
        (
            &["--body-file", "/nowhere"],
            "body file not found: /nowhere",
        ),
        (&["--body-file", "/"], "body file not found: /"),
        // With GET, a file that is given must be there all the same.
        (&["--method", "GET"], "body file not found: /"),
    ];
    let mut arguments = Vec::new();
    for (added, message) in steps {
        arguments.extend_from_slice(added);
        let expected = (1, String::new(), format!("error: {message}\n"));
        assert_eq!(run(&arguments), expected, "{arguments:?}");
    }
}

#[test]
fn an_unknown_flag_is_refused_with_the_usage() {
    let (code, stdout, stderr) = run(&["--header", "X: y"]);
    assert_eq!((code, stdout.as_str()), (1, ""));
    assert!(
        stderr.starts_with("error: unknown argument: --header\n"),
        "{stderr}"
    );
    assert!(stderr.contains("Usage:"), "{stderr}");
}

#[test]
fn the_help_says_who_can_see_a_token() {
    let (code, stdout, stderr) = run(&["--help"]);
    assert_eq!((code, stderr.as_str()), (0, ""));
    assert!(stdout.contains("shows up in process lists"), "{stdout}");
}
