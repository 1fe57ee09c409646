//! The simple protocol over one connection: what a statement left behind in it is told by the server's own status, and a
//! COPY can be followed to its end, both of which the driver hides.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

use bytes::BytesMut;
use fallible_iterator::FallibleIterator as _;
use postgres_protocol::message::backend::{ErrorResponseBody, Message};
use postgres_protocol::message::frontend;

/// Longer than any statement may take there.
const PATIENCE: Duration = Duration::from_secs(20);

/// What the server said to one text.
#[derive(Debug, Default)]
pub(super) struct Answer {
    /// The first error.
    pub(super) error: Option<ServerError>,
    /// `I` when no transaction was left open.
    pub(super) status: u8,
    /// The first field of each row.
    pub(super) rows: Vec<String>,
}

#[derive(Debug, Default)]
pub(super) struct ServerError {
    pub(super) code: String,
    pub(super) message: String,
}

pub(super) struct Connection {
    stream: TcpStream,
    unread: BytesMut,
}

impl Connection {
    /// Connects as the lab's superuser, who is refused the least.
    pub(super) fn open(port: u16, options: &str) -> io::Result<Self> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut connection = Self { stream, unread: BytesMut::new() };
        let parameters = [
            ("user", "postgres"),
            ("database", "postgres"),
            ("client_encoding", "UTF8"),
            ("options", options),
        ];
        let mut message = BytesMut::new();
        frontend::startup_message(parameters, &mut message)?;
        connection.stream.write_all(&message)?;
        match connection.answer()?.error {
            Some(error) => Err(io::Error::other(format!("{} {}", error.code, error.message))),
            None => Ok(connection),
        }
    }

    /// Sends all of them at once; each is a transaction of its own.
    pub(super) fn ask<'s>(&mut self, texts: impl Iterator<Item = &'s str>) -> io::Result<Vec<Answer>> {
        let mut messages = BytesMut::new();
        let mut count = 0;
        for text in texts {
            frontend::query(text, &mut messages)?;
            count += 1;
        }
        self.stream.write_all(&messages)?;
        (0..count).map(|_| self.answer()).collect()
    }

    /// Reads until the server is ready for more.
    fn answer(&mut self) -> io::Result<Answer> {
        let mut answer = Answer::default();
        loop {
            match self.message()? {
                Message::ReadyForQuery(body) => {
                    answer.status = body.status();
                    return Ok(answer);
                }
                Message::ErrorResponse(body) if answer.error.is_none() => {
                    answer.error = Some(ServerError::read(&body)?);
                }
                Message::DataRow(body) => {
                    let range = body.ranges().next()?.flatten();
                    let field =
                        range.map(|range| String::from_utf8_lossy(&body.buffer()[range]).into_owned());
                    answer.rows.push(field.unwrap_or_default());
                }
                Message::CopyInResponse(_) => {
                    let mut message = BytesMut::new();
                    frontend::copy_fail("no data", &mut message)?;
                    self.stream.write_all(&message)?;
                }
                _ => {}
            }
        }
    }

    fn message(&mut self) -> io::Result<Message> {
        loop {
            if let Some(message) = Message::parse(&mut self.unread)? {
                return Ok(message);
            }
            let mut chunk = [0; 16 * 1024];
            match self.stream.read(&mut chunk) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => self.unread.extend_from_slice(&chunk[..count]),
                // libFuzzer's alarm.
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

impl ServerError {
    fn read(body: &ErrorResponseBody) -> io::Result<Self> {
        let mut error = Self::default();
        let mut fields = body.fields();
        while let Some(field) = fields.next()? {
            let value = String::from_utf8_lossy(field.value_bytes()).into_owned();
            match field.type_() {
                b'C' => error.code = value,
                b'M' => error.message = value,
                _ => {}
            }
        }
        Ok(error)
    }

    /// Whether a primary would have run it.
    pub(super) fn is_refusal_of_a_standby(&self) -> bool {
        let names_it = self.message.contains("recovery") || self.message.contains("standby");
        match self.code.as_str() {
            "25006" => true,
            "0A000" | "55000" | "XX000" => names_it,
            _ => false,
        }
    }
}
