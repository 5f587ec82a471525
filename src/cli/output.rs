//! Answers as they are printed: tables for people, canonical proto JSON for scripts.

use std::fmt;
use std::io::{self, Write};
use std::sync::LazyLock;

use clap::{Args, ValueEnum};
use prost_reflect::{DescriptorPool, DynamicMessage, SerializeOptions};

use super::client::Want;
use super::failure::Failure;
use super::table::{Running, pairs, table};
use super::text::escape_json;
use crate::api::proto;

/// How answers are printed.
#[derive(Args, Clone, Copy, Debug)]
#[command(next_help_heading = "Output")]
pub(crate) struct OutputArgs {
    /// How the answer is printed; errors go to standard error in the same form.
    #[arg(long, short, global = true, value_enum, default_value_t = Format::Table)]
    pub(crate) output: Format,
}

#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Format {
    /// Aligned columns for people.
    Table,
    /// Canonical proto JSON, every field of a message named; a list is one array.
    Json,
    /// The same, one message a line.
    Jsonl,
}

impl Format {
    pub(crate) fn is_json(self) -> bool {
        self != Self::Table
    }
}

/// A message of the contract that can be printed.
pub(crate) trait Record: prost::Message + Sized {
    /// Its full name in the contract.
    const NAME: &'static str;

    /// Labels and values for a person; an empty value is shown as a dash.
    fn fields(&self) -> Vec<(&'static str, String)>;

    /// What it holds that is best read as a table of its own.
    fn parts(&self) -> Vec<Part> {
        Vec::new()
    }
}

/// A record that comes in lists.
pub(crate) trait Listed: Record {
    const COLUMNS: &'static [&'static str];

    fn row(&self) -> Vec<String>;
}

/// A table below a record.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Part {
    pub(crate) columns: &'static [&'static str],
    pub(crate) rows: Vec<Vec<String>>,
}

/// Prints one record.
pub(crate) fn show<T: Record>(
    record: &T,
    format: Format,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let text = match format {
        Format::Table => describe(record),
        Format::Json => to_json(record, true)? + "\n",
        Format::Jsonl => to_json(record, false)? + "\n",
    };
    out.write_all(text.as_bytes())?;
    Ok(out.flush()?)
}

/// Prints records as they arrive; a table waits for all of them.
pub(crate) struct List<'o> {
    format: Format,
    out: &'o mut dyn Write,
    columns: &'static [&'static str],
    rows: Vec<Vec<String>>,
    printed: usize,
    /// Where a table's rows are printed as they come.
    running: Option<Running>,
}

impl<'o> List<'o> {
    pub(crate) fn new<T: Listed>(format: Format, out: &'o mut dyn Write) -> Self {
        Self {
            format,
            out,
            columns: T::COLUMNS,
            rows: Vec::new(),
            printed: 0,
            running: None,
        }
    }

    /// A list without an end: a table, too, prints each record as it arrives.
    pub(crate) fn endless<T: Listed>(format: Format, out: &'o mut dyn Write) -> Self {
        Self {
            running: Some(Running::default()),
            ..Self::new::<T>(format, out)
        }
    }

    /// Takes one record. A reader that has gone away, as `head` does, wants no more.
    pub(crate) fn push<T: Listed>(&mut self, record: &T) -> Result<Want, Failure> {
        let line = match self.format {
            Format::Table if let Some(running) = &mut self.running => {
                let mut lines = String::new();
                if self.printed == 0 {
                    lines.push_str(&running.line(self.columns));
                }
                lines + &running.line(&record.row())
            }
            Format::Table => {
                self.rows.push(record.row());
                return Ok(Want::More);
            }
            Format::Json if self.printed == 0 => format!("[\n  {}", to_json(record, false)?),
            Format::Json => format!(",\n  {}", to_json(record, false)?),
            Format::Jsonl => to_json(record, false)? + "\n",
        };
        self.printed += 1;
        self.write(&line)
    }

    pub(crate) fn finish(mut self) -> Result<(), Failure> {
        let text = match self.format {
            Format::Table if self.running.is_some() => String::new(),
            Format::Table => table(self.columns, &self.rows),
            Format::Json if self.printed == 0 => "[]\n".into(),
            Format::Json => "\n]\n".into(),
            Format::Jsonl => String::new(),
        };
        self.write(&text)?;
        Ok(())
    }

    fn write(&mut self, text: &str) -> Result<Want, Failure> {
        let written = self
            .out
            .write_all(text.as_bytes())
            .and_then(|()| self.out.flush());
        match written {
            Ok(()) => Ok(Want::More),
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Want::NoMore),
            Err(error) => Err(error.into()),
        }
    }
}

impl fmt::Debug for List<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("List")
            .field("format", &self.format)
            .finish_non_exhaustive()
    }
}

static CONTRACT: LazyLock<DescriptorPool> = LazyLock::new(|| {
    DescriptorPool::decode(proto::DESCRIPTORS).expect("the build made these descriptors")
});

fn to_json<T: Record>(record: &T, pretty: bool) -> Result<String, Failure> {
    let descriptor = CONTRACT
        .get_message_by_name(T::NAME)
        .expect("a message of the contract");
    let mut message = DynamicMessage::new(descriptor);
    message.transcode_from(record).expect("the same message");
    let options = SerializeOptions::new().skip_default_fields(false);
    let mut bytes = Vec::new();
    let written = if pretty {
        let mut json = serde_json::Serializer::pretty(&mut bytes);
        message.serialize_with_options(&mut json, &options)
    } else {
        let mut json = serde_json::Serializer::new(&mut bytes);
        message.serialize_with_options(&mut json, &options)
    };
    written.map_err(|why| Failure::broken_answer(format!("the answer has no JSON: {why}")))?;
    let text = String::from_utf8(bytes).expect("JSON is UTF-8");
    Ok(escape_json(&text))
}

fn describe<T: Record>(record: &T) -> String {
    let mut text = pairs(&record.fields());
    for part in record.parts() {
        text.push('\n');
        text.push_str(&table(part.columns, &part.rows));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use prost_types::Timestamp;
    use proto::{Role, Token};

    fn role() -> Role {
        Role {
            id: "readers".into(),
            account_id: "acme".into(),
            display_name: "Readers\u{1b}[2J".into(),
            grants: vec!["tables/*:read".into()],
            etag: "e1".into(),
        }
    }

    fn printed(format: Format, roles: &[Role]) -> String {
        let mut out = Vec::new();
        let mut list = List::new::<Role>(format, &mut out);
        for role in roles {
            assert_eq!(list.push(role).unwrap(), Want::More);
        }
        list.finish().unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_table_has_columns_and_no_control_characters() {
        assert_eq!(
            printed(Format::Table, &[role()]),
            "ID       NAME              GRANTS\n\
             readers  Readers\\u{1b}[2J  tables/*:read\n"
        );
    }

    #[test]
    fn a_json_list_is_one_array_however_long() {
        for count in [0, 1, 3] {
            let text = printed(Format::Json, &vec![role(); count]);
            let json: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap();
            assert_eq!(json.len(), count, "{text}");
        }
        assert_eq!(printed(Format::Jsonl, &vec![role(); 3]).lines().count(), 3);
    }

    #[test]
    fn json_is_canonical_and_names_every_field() {
        let token = Token {
            id: "t1".into(),
            access: proto::Access::ReadOnly.into(),
            expire_time: Some(Timestamp {
                seconds: 1_800_000_000,
                nanos: 0,
            }),
            ..Token::default()
        };
        let json: serde_json::Value =
            serde_json::from_str(&to_json(&token, true).unwrap()).unwrap();
        assert_eq!(json["id"], "t1");
        assert_eq!(json["access"], "ACCESS_READ_ONLY");
        assert_eq!(json["expireTime"], "2027-01-15T08:00:00Z");
        assert_eq!(json["grants"], serde_json::json!([]));
        assert_eq!(json["imported"], false);
        assert!(json.get("createTime").is_none());
    }

    #[test]
    fn a_reader_that_went_away_ends_the_list_quietly() {
        struct Closed;
        impl Write for Closed {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let mut closed = Closed;
        let mut list = List::new::<Role>(Format::Jsonl, &mut closed);
        assert_eq!(list.push(&role()).unwrap(), Want::NoMore);
        assert_eq!(
            show(&role(), Format::Json, &mut closed).unwrap_err().code,
            "LOCAL"
        );
    }
}
