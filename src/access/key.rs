//! A key: whose it is, what it may, and its hash. One line of text: `NAME ROLE[+ROLE...] SHA256 [RATE/s]`.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::rate::Rate;

/// What a key may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Ask models, and what is served.
    Infer,
    /// Change what the server does.
    Admin,
    /// Read the metrics.
    Metrics,
}

impl fmt::Display for Role {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Infer => "infer",
            Self::Admin => "admin",
            Self::Metrics => "metrics",
        })
    }
}

impl FromStr for Role {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = [Self::Infer, Self::Admin, Self::Metrics];
        let found = known.into_iter().find(|role| role.to_string() == text);
        found.ok_or_else(|| format!("{text:?} is no role; the roles are infer, admin, metrics"))
    }
}

/// A key, as far as the server knows it.
#[derive(Debug)]
pub(super) struct Key {
    /// Whose it is, for the log.
    pub(super) name: Arc<str>,
    /// What it may do.
    pub(super) roles: Vec<Role>,
    sha256: [u8; 32],
    /// How often it may be used, where that is bounded.
    pub(super) rate: Option<Rate>,
}

impl FromStr for Key {
    type Err = String;

    /// Never tells the line's text, which may be a key that somebody has pasted.
    fn from_str(line: &str) -> Result<Self, String> {
        let words: Vec<_> = line.split_whitespace().collect();
        let (name, roles, hash, rate) = match words[..] {
            [name, roles, hash] => (name, roles, hash, None),
            [name, roles, hash, rate] => (name, roles, hash, Some(rate)),
            _ => return Err("a key's line is NAME ROLE[+ROLE...] SHA256 [RATE/s]".into()),
        };
        Ok(Self {
            name: name.into(),
            roles: parse_roles(roles).ok_or("a key's roles are infer, admin and metrics, with + between them")?,
            sha256: parse_hash(hash).ok_or("a key's hash is 64 hexadecimal digits; `cenet-serve key new` makes one")?,
            rate: rate.map(parse_rate).transpose()?,
        })
    }
}

fn parse_roles(text: &str) -> Option<Vec<Role>> {
    text.split('+').map(|role| role.parse().ok()).collect()
}

fn parse_hash(text: &str) -> Option<[u8; 32]> {
    if text.len() != 64 || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    let mut hash = [0; 32];
    for (byte, digits) in hash.iter_mut().zip(text.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(str::from_utf8(digits).ok()?, 16).ok()?;
    }
    Some(hash)
}

fn parse_rate(text: &str) -> Result<Rate, String> {
    let per_second = text.strip_suffix("/s").and_then(|number| number.parse::<NonZeroU32>().ok());
    per_second.map(Rate::new).ok_or_else(|| "a key's rate is a whole number and /s, such as 20/s".into())
}

/// The key that `shown` is. Takes as long whichever it is, and whether it is any.
pub(super) fn find<'a>(keys: &'a [Key], shown: &[u8]) -> Option<&'a Key> {
    let hash: [u8; 32] = Sha256::digest(shown).into();
    keys.iter().fold(None, |found, key| if bool::from(key.sha256.ct_eq(&hash)) { Some(key) } else { found })
}

/// A new key, and the line that lets it in.
///
/// # Errors
/// When the operating system gives no random bytes.
pub fn new_key(name: &str, roles: &[Role], rate: Option<NonZeroU32>) -> Result<[String; 2], getrandom::Error> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)?;
    let key = format!("cenet_{}", URL_SAFE_NO_PAD.encode(bytes));
    let hash: String = Sha256::digest(&key).iter().map(|byte| format!("{byte:02x}")).collect();
    let roles = roles.iter().map(Role::to_string).collect::<Vec<_>>().join("+");
    let rate = rate.map_or(String::new(), |rate| format!(" {rate}/s"));
    Ok([key, format!("{name} {roles} {hash}{rate}")])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_key_is_let_in_by_its_line_and_no_other_is() {
        let [key, line] = new_key("camera", &[Role::Infer, Role::Metrics], NonZeroU32::new(5)).expect("random bytes");
        let [other, _] = new_key("camera", &[Role::Infer], None).expect("random bytes");
        let keys: Vec<Key> = vec![line.parse().expect("a line")];
        let found = find(&keys, key.as_bytes()).expect("it is known");
        assert_eq!((&*found.name, &found.roles[..]), ("camera", &[Role::Infer, Role::Metrics][..]));
        for wrong in [&other, &key[..key.len() - 1], &format!("{key}x"), "", &key.to_uppercase()] {
            assert!(find(&keys, wrong.as_bytes()).is_none(), "{wrong:?}");
        }
    }

    #[test]
    fn a_bad_line_is_refused_without_telling_it() {
        let hash = "a".repeat(64);
        let cases = [
            "camera infer".to_owned(),
            format!("camera infer {hash} 5/s more"),
            format!("camera infer {}", &hash[1..]),
            format!("camera infer+root {hash}"),
            format!("camera infer {hash} 0/s"),
            format!("camera infer {hash} 5"),
            "camera infer cenet_secretsecretsecret".to_owned(),
            format!("camera cenet_secretsecretsecret {hash}"),
        ];
        for line in cases {
            let error = line.parse::<Key>().expect_err("refused");
            assert!(!error.contains("secret") && !error.contains("camera"), "{error}");
        }
    }
}
