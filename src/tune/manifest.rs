//! The settings in a `model.toml`: read, and written without touching what else stands there.

use toml_edit::{DocumentMut, Item, Table, value};

use super::Setting;
use crate::manifest::Manifest;

/// What a manifest says, and how long the server waits by default where it doesn't.
pub fn read(manifest: &Manifest) -> Setting {
    let (batching, runtime) = (&manifest.batching, &manifest.runtime);
    Setting {
        instances: runtime.instances,
        threads: runtime.threads,
        max_size: batching.max_size,
        queue_delay_us: batching.queue_delay_us.unwrap_or_default(),
    }
}

/// The same `model.toml` with `setting` in it; comments, order and all else stay.
///
/// # Errors
/// When `text` is no TOML, or `batching` or `runtime` is no table.
pub fn written(text: &str, setting: &Setting) -> Result<String, String> {
    let mut document: DocumentMut = text.parse().map_err(|error: toml_edit::TomlError| error.to_string())?;
    let batching = [("max_size", setting.max_size.into()), ("queue_delay_us", setting.queue_delay_us.into())];
    put(&mut document, "batching", batching)?;
    put(&mut document, "runtime", [("instances", setting.instances.into()), ("threads", setting.threads.into())])?;
    Ok(document.to_string())
}

fn put(document: &mut DocumentMut, name: &str, entries: [(&str, i64); 2]) -> Result<(), String> {
    let table = document.entry(name).or_insert(Item::Table(Table::new()));
    let table = table.as_table_like_mut().ok_or_else(|| format!("{name} is no table"))?;
    for (key, number) in entries {
        match table.get_mut(key).and_then(Item::as_value_mut) {
            // with what stands around it, such as a comment behind it
            Some(present) => {
                let around = present.decor().clone();
                *present = number.into();
                *present.decor_mut() = around;
            }
            None => {
                table.insert(key, value(number));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTING: Setting = Setting { instances: 2, threads: 1, max_size: 16, queue_delay_us: 200 };

    #[test]
    fn comments_order_and_other_keys_stay() {
        let text = "# mine\nschema_version = 1\n\n[batching] # of pictures\nqueue_length = 9 # few\nmax_size = 4 # by hand\n\n[head]\nkind = \"scores\"\n";
        let expected = "# mine\nschema_version = 1\n\n[batching] # of pictures\nqueue_length = 9 # few\nmax_size = 16 # by hand\nqueue_delay_us = 200\n\n[head]\nkind = \"scores\"\n\n[runtime]\ninstances = 2\nthreads = 1\n";
        assert_eq!(written(text, &SETTING).expect("TOML"), expected);
        assert_eq!(written(expected, &SETTING).expect("TOML"), expected, "and again it is the same");
    }

    #[test]
    fn tables_in_a_line_are_tables_too() {
        let text = "runtime = { instances = 1 }\n";
        let told: toml::Table = written(text, &SETTING).expect("TOML").parse().expect("TOML");
        assert_eq!(told["runtime"]["instances"].as_integer(), Some(2));
        assert_eq!(told["runtime"]["threads"].as_integer(), Some(1));
        assert!(written("runtime = 3", &SETTING).is_err());
    }
}
