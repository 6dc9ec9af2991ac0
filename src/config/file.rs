//! The configuration file: its keys are the long options' names with `_` for `-`, its values take the defaults' place.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use clap::error::ErrorKind;
use clap::{ArgMatches, Command, Error};

/// The option that names the file.
pub(super) const FILE_OPTION: &str = "config";

/// Parses `arguments`. Where they or the environment name a file with `--config`, it is read and its values take the
/// place of the subcommand's defaults, so that an option or a variable still wins.
///
/// # Errors
/// As clap's; also for a file that can't be read, isn't TOML, or holds a key that is no option.
pub fn parse_with_file(command: Command, arguments: &[OsString]) -> Result<ArgMatches, Error> {
    let matches = command.clone().try_get_matches_from(arguments)?;
    let Some((name, options)) = matches.subcommand() else { return Ok(matches) };
    let Some(path) = options.try_get_one::<PathBuf>(FILE_OPTION).ok().flatten() else { return Ok(matches) };
    let fail = |message: String| Error::raw(ErrorKind::InvalidValue, format!("{}: {message}\n", path.display()));
    let settings = read(path).map_err(&fail)?;
    let known = command.find_subcommand(name).map(option_names).unwrap_or_default();
    if let Some((unknown, _)) = settings.iter().find(|(key, _)| !known.contains(key)) {
        return Err(fail(format!("{unknown:?} is no setting; the settings are: {}", known.join(", "))));
    }
    let command = settings.into_iter().fold(command, |command, (key, value)| {
        command.mut_subcommand(name, |options| options.mut_arg(key, |option| option.default_value(value)))
    });
    command.try_get_matches_from(arguments)
}

/// Every option of a subcommand that may stand in the file, by its key there.
fn option_names(command: &Command) -> Vec<String> {
    let options =
        command.get_arguments().filter(|option| option.get_long().is_some() && option.get_id() != FILE_OPTION);
    options
        .map(|option| option.get_id().to_string())
        .filter(|key| !matches!(key.as_str(), "help" | "version"))
        .collect()
}

fn read(path: &Path) -> Result<Vec<(String, String)>, String> {
    let text = fs::read_to_string(path).map_err(|error| error.to_string())?;
    let table: toml::Table = text.parse().map_err(|error: toml::de::Error| error.to_string())?;
    table
        .into_iter()
        .map(|(key, value)| {
            let text = value_text(&key, value)?;
            Ok((key, text))
        })
        .collect()
}

fn value_text(key: &str, value: toml::Value) -> Result<String, String> {
    match value {
        toml::Value::String(text) => Ok(text),
        toml::Value::Integer(number) => Ok(number.to_string()),
        toml::Value::Float(number) => Ok(number.to_string()),
        toml::Value::Boolean(truth) => Ok(truth.to_string()),
        toml::Value::Array(values) => {
            let texts: Result<Vec<_>, _> = values.into_iter().map(|value| value_text(key, value)).collect();
            Ok(texts?.join(","))
        }
        toml::Value::Table(_) | toml::Value::Datetime(_) => {
            Err(format!("{key:?} must be a string, a number, a truth value or a list of them"))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use clap::{Args, FromArgMatches};

    use super::super::ServeConfig;
    use super::*;

    fn parse(file: &str, arguments: &[&str]) -> Result<ServeConfig, Error> {
        let mut settings = tempfile::NamedTempFile::new().expect("a temporary file");
        settings.write_all(file.as_bytes()).expect("it is written");
        let command = Command::new("test").subcommand(ServeConfig::augment_args(Command::new("serve")));
        let mut all: Vec<OsString> = ["test", "serve", "--config"].map(OsString::from).to_vec();
        all.push(settings.path().into());
        all.extend(arguments.iter().map(OsString::from));
        let matches = parse_with_file(command, &all)?;
        ServeConfig::from_arg_matches(matches.subcommand().expect("serve").1)
    }

    #[test]
    fn the_file_replaces_defaults_and_an_option_replaces_the_file() {
        let file = "http_addr = '127.0.0.1:1'\nmax_body_bytes = 5\nlog_format = 'json'\n";
        let config = parse(file, &["--http-addr", "127.0.0.1:2"]).expect("a valid file");
        assert_eq!(config.server.http_addr.port(), 2);
        assert_eq!(config.limits.max_body_bytes, 5);
        assert_eq!(config.log.log_format, crate::config::LogFormat::Json);
        assert_eq!(config.server.drain_timeout_s, 30, "what nobody says keeps its default");
    }

    #[test]
    fn what_may_be_given_several_times_is_a_list() {
        let config = parse("load_model = ['a', 'b']\ndefault_version = 'a=2,b=1'\n", &[]).expect("a valid file");
        assert_eq!(config.models.load_model, ["a", "b"]);
        assert_eq!(config.models.default_version, [("a".to_owned(), 2), ("b".to_owned(), 1)]);
        let config = parse("default_model = ['a', 'b']\n", &[]).expect("a valid file");
        assert_eq!(config.models.default_model, ["a", "b"]);
        assert!(parse("default_version = ['a']", &[]).expect_err("no version").to_string().contains("NAME=VERSION"));
    }

    #[test]
    fn what_is_wrong_in_the_file_is_said() {
        let unknown = parse("http_adr = '127.0.0.1:1'", &[]).expect_err("a misspelt key").to_string();
        assert!(unknown.contains("http_adr") && unknown.contains("http_addr"), "{unknown}");
        let bad_value = parse("max_body_bytes = 'many'", &[]).expect_err("no number").to_string();
        assert!(bad_value.contains("--max-body-bytes"), "{bad_value}");
        assert!(parse("max_body_bytes", &[]).expect_err("no TOML").to_string().contains("TOML"), "names the line");
    }
}
