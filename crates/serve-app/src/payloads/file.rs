//! Samples as lines of a file that is replaced by a new one when it is full.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::{PayloadsConfig, Sample};

/// What stands in the place of a value that is left out.
const REDACTED: &str = "***";

/// A file of bounded size, and older ones beside it.
#[derive(Debug)]
pub(super) struct Rotating {
    path: PathBuf,
    limit: u64,
    files: usize,
    open: Option<(File, u64)>,
}

impl Rotating {
    pub(super) fn new(path: PathBuf, limit: u64, files: usize) -> Self {
        Self { path, limit, files, open: None }
    }

    pub(super) fn write(&mut self, line: &str) -> io::Result<()> {
        let length = line.len() as u64;
        let (file, size) = match self.open.take() {
            Some(open) => open,
            None => self.opened()?,
        };
        let (mut file, size) = if size > 0 && size + length > self.limit {
            drop(file);
            self.rotate()?;
            self.opened()?
        } else {
            (file, size)
        };
        file.write_all(line.as_bytes())?;
        self.open = Some((file, size + length));
        Ok(())
    }

    fn opened(&self) -> io::Result<(File, u64)> {
        let file = OpenOptions::new().create(true).append(true).mode(0o600).open(&self.path)?;
        let size = file.metadata()?.len();
        Ok((file, size))
    }

    fn older(&self, age: usize) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(format!(".{age}"));
        name.into()
    }

    /// Every file becomes one older; the oldest goes.
    fn rotate(&self) -> io::Result<()> {
        if self.files <= 1 {
            return fs::remove_file(&self.path);
        }
        for age in (1..self.files - 1).rev() {
            match fs::rename(self.older(age), self.older(age + 1)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        fs::rename(&self.path, self.older(1))
    }
}

/// A sample as a line of JSON.
pub(super) fn line(sample: &Sample, config: &PayloadsConfig) -> String {
    let line = json!({
        "timestamp": format!("{:.3}", jiff::Timestamp::now()),
        "request_id": &*sample.request_id,
        "asked": sample.asked,
        "status": sample.status,
        "request": body(&sample.request, config),
        "response": body(&sample.response, config),
    });
    format!("{line}\n")
}

/// A body as JSON where it is, else as text; its length alone, where it may not be shown.
fn body(bytes: &[u8], config: &PayloadsConfig) -> Value {
    let most = usize::try_from(config.max_bytes.0).unwrap_or(usize::MAX);
    let text = match serde_json::from_slice::<Value>(bytes) {
        Ok(mut value) => {
            redact(&mut value, &config.redact);
            let text = value.to_string();
            if text.len() <= most {
                return value;
            }
            text
        }
        Err(_) => match std::str::from_utf8(bytes) {
            Ok(text) if config.redact.is_empty() => text.to_owned(),
            _ => return json!({ "bytes": bytes.len() }),
        },
    };
    let kept = text.floor_char_boundary(most);
    json!({ "bytes": bytes.len(), "text": &text[..kept], "truncated": kept < text.len() })
}

fn redact(value: &mut Value, keys: &[String]) {
    if keys.is_empty() {
        return;
    }
    let mut left = vec![value];
    while let Some(value) = left.pop() {
        match value {
            Value::Object(map) => {
                for (key, value) in map.iter_mut() {
                    if keys.iter().any(|known| known.eq_ignore_ascii_case(key)) {
                        *value = REDACTED.into();
                    } else {
                        left.push(value);
                    }
                }
            }
            Value::Array(list) => left.extend(list.iter_mut()),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serve_core::ByteSize;

    use super::*;

    fn sample(request: &[u8]) -> Sample {
        Sample {
            request_id: Arc::from("r"),
            asked: "POST /predict".to_owned(),
            status: 200,
            request: request.to_vec(),
            response: b"{}".to_vec(),
        }
    }

    #[test]
    fn named_keys_are_left_out_and_long_bodies_cut() {
        let config = PayloadsConfig {
            redact: vec!["entity".to_owned()],
            max_bytes: ByteSize(40),
            ..PayloadsConfig::default()
        };
        let written = |request: &[u8]| {
            let line: Value = serde_json::from_str(&line(&sample(request), &config)).expect("a line of JSON");
            line["request"].clone()
        };
        assert_eq!(
            written(br#"{"requests":[{"Entity":"x","a":1}]}"#),
            json!({ "requests": [{ "Entity": "***", "a": 1 }] })
        );
        let long = written(format!("{{\"a\":\"{}\"}}", "ü".repeat(30)).as_bytes());
        assert_eq!((long["bytes"].as_u64(), long["truncated"].as_bool()), (Some(68), Some(true)));
        assert!(long["text"].as_str().is_some_and(|text| text.len() <= 40));
        assert_eq!(written(b"entity=x"), json!({ "bytes": 8 }), "what is not JSON cannot be searched");
        assert_eq!(body(b"a,b", &PayloadsConfig::default())["text"], "a,b");
    }

    #[test]
    fn a_full_file_becomes_an_older_one() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("p");
        let mut file = Rotating::new(path.clone(), 10, 3);
        for line in ["1111\n", "2222\n", "3333\n", "4444\n", "5555\n", "6666\n", "7777\n"] {
            file.write(line).expect("can be written");
        }
        let read = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap_or_default();
        assert_eq!(
            (read("p"), read("p.1"), read("p.2")),
            ("7777\n".into(), "5555\n6666\n".into(), "3333\n4444\n".into())
        );
        assert!(!folder.path().join("p.3").exists());
    }
}
