//! Tests: flags, variables, defaults, and the rules that settings keep.

use clap::{Command, FromArgMatches as _};

use super::*;

/// Parses as `keyward serve` would, in an environment without a variable of ours.
fn matches(arguments: &[&str]) -> Result<ArgMatches, clap::Error> {
    let command = ServeArgs::augment_args(Command::new("serve"));
    command.try_get_matches_from([&["serve"], arguments].concat())
}

fn args(arguments: &[&str]) -> ServeArgs {
    ServeArgs::from_arg_matches(&matches(arguments).unwrap()).unwrap()
}

fn row<'a>(settings: &'a [Setting], flag: &str) -> &'a Setting {
    settings
        .iter()
        .find(|setting| setting.flag == flag)
        .unwrap()
}

#[test]
fn each_flag_has_the_variable_that_its_name_says() {
    let command = ServeArgs::augment_args(Command::new("serve"));
    for argument in command.get_arguments() {
        let id = argument.get_id().as_str();
        let variable = format!("KEYWARD_{}", id.to_uppercase());
        assert_eq!(
            argument.get_env().unwrap().to_str(),
            Some(variable.as_str())
        );
        assert_eq!(argument.get_long(), Some(id.replace('_', "-").as_str()));
    }
}

#[test]
fn nothing_said_is_a_lasting_store_on_this_machine_only() {
    let config = args(&[]).resolve().unwrap();
    assert_eq!(config.data_dir, Some("keyward-data".into()));
    assert_eq!(config.environment.as_str(), "production");
    assert_eq!(config.listen, "127.0.0.1:50051".parse().unwrap());
    assert_eq!(config.side_listen, "127.0.0.1:9090".parse().unwrap());
    assert_eq!(config.store, StoreKind::Sled);
    assert!(config.reflection);
    assert!(config.server.cores.get() >= 1);
    assert_eq!(config.server.max_connection_age, None);
    let days = Duration::from_secs(86_400);
    assert_eq!(config.event_retention, Some(400 * days));
    let for_ever = args(&["--event-retention", "off"]).resolve().unwrap();
    assert_eq!(for_ever.event_retention, None);
}

#[test]
fn dev_is_temporary_unless_a_place_is_named() {
    let dev = args(&["--dev"]).resolve().unwrap();
    assert_eq!((dev.data_dir, dev.environment.as_str()), (None, "dev"));
    let named = args(&["--dev", "--data-dir", "d", "--environment", "eu-1"])
        .resolve()
        .unwrap();
    assert_eq!(
        (named.data_dir, named.environment.as_str()),
        (Some("d".into()), "eu-1")
    );
}

#[test]
fn a_value_out_of_its_range_is_refused_by_flag_and_rule() {
    for (arguments, flag, rule) in [
        (
            ["--environment", "Prod"],
            "--environment",
            "1 to 32 characters of a-z, 0-9 and -",
        ),
        (["--cores", "0"], "--cores", "1..=1024"),
        (
            ["--max-connections", "0"],
            "--max-connections",
            "1..=1000000",
        ),
        (
            ["--max-consumers", "999"],
            "--max-consumers",
            "1000..=1000000",
        ),
        (["--cache-mib", "15"], "--cache-mib", "16..=65536"),
        (
            ["--first-bytes-timeout", "0s"],
            "--first-bytes-timeout",
            "from 100ms to 60s",
        ),
        (
            ["--max-deadline", "11m"],
            "--max-deadline",
            "from 100ms to 600s",
        ),
        (
            ["--max-connection-age", "9s"],
            "--max-connection-age",
            "or off",
        ),
        (["--event-retention", "59m"], "--event-retention", "or off"),
        (
            ["--event-retention", "36501d"],
            "--event-retention",
            "or off",
        ),
        (
            ["--drain-deadline", "ten"],
            "--drain-deadline",
            "such as 500ms",
        ),
        (
            ["--listen", "localhost"],
            "--listen",
            "invalid socket address",
        ),
        (
            ["--store", "etcd"],
            "--store",
            "[possible values: sled, memory]",
        ),
    ] {
        let message = matches(&arguments).unwrap_err().to_string();
        assert!(
            message.contains(flag) && message.contains(rule),
            "{message}"
        );
    }
}

#[test]
fn the_edges_of_the_ranges_are_good() {
    args(&[
        "--cores",
        "1",
        "--max-connections",
        "1",
        "--cache-mib",
        "16",
        "--max-consumers",
        "1000",
        "--drain-wait",
        "0s",
        "--event-retention",
        "1h",
    ]);
    args(&[
        "--cores",
        "1024",
        "--max-connections",
        "1000000",
        "--cache-mib",
        "65536",
        "--max-consumers",
        "1000000",
        "--drain-wait",
        "1m",
        "--event-retention",
        "36500d",
    ]);
}

#[test]
fn both_listeners_on_one_address_are_refused_but_for_port_0() {
    let same = args(&[
        "--listen",
        "127.0.0.1:7000",
        "--side-listen",
        "127.0.0.1:7000",
    ]);
    let message = same.resolve().unwrap_err().to_string();
    assert!(message.contains("--listen and --side-listen"), "{message}");
    let any = args(&["--listen", "127.0.0.1:0", "--side-listen", "127.0.0.1:0"]);
    assert!(any.resolve().is_ok());
}

#[test]
fn effective_settings_tell_every_flag_its_value_and_where_it_is_from() {
    let matches = matches(&["--cores", "3", "--keyring-file", "/k", "--drain-wait", "0s"]).unwrap();
    let config = ServeArgs::from_arg_matches(&matches)
        .unwrap()
        .resolve()
        .unwrap();
    let settings = config.settings(&matches);
    assert!(
        settings.iter().all(|setting| !setting.value.is_empty()),
        "{settings:?}"
    );

    for (flag, value, source) in [
        ("--cores", "3", Source::CommandLine),
        ("--keyring-file", "/k", Source::CommandLine),
        ("--drain-wait", "0s", Source::CommandLine),
        (
            "--operator-token-file",
            "keyward-data/operator.token",
            Source::Default,
        ),
        ("--environment", "production", Source::Default),
        ("--listen", "127.0.0.1:50051", Source::Default),
        ("--dev", "false", Source::Default),
        ("--max-connection-age", "off", Source::Default),
    ] {
        let row = row(&settings, flag);
        assert_eq!((row.value.as_str(), row.source), (value, source), "{flag}");
    }
    assert_eq!(
        row(&settings, "--side-listen").variable,
        "KEYWARD_SIDE_LISTEN"
    );
}
