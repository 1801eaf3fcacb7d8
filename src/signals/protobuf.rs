//! Protocol Buffers, as far as metrics need them (protobuf.dev, "Encoding"): every message is written whole, field by field.

/// A message under way.
#[derive(Default)]
pub struct Message(Vec<u8>);

/// How a field's value is laid out.
const VARINT: u64 = 0;
const FIXED64: u64 = 1;
const LENGTH: u64 = 2;

impl Message {
    pub fn bytes(self) -> Vec<u8> {
        self.0
    }

    /// A whole number, an enumeration or a truth value.
    pub fn number(mut self, field: u64, value: u64) -> Self {
        self.tag(field, VARINT);
        self.varint(value);
        self
    }

    /// Eight bytes: `fixed64` and `sfixed64`.
    pub fn fixed(mut self, field: u64, value: u64) -> Self {
        self.tag(field, FIXED64);
        self.0.extend(value.to_le_bytes());
        self
    }

    pub fn double(self, field: u64, value: f64) -> Self {
        self.fixed(field, value.to_bits())
    }

    pub fn text(self, field: u64, text: &str) -> Self {
        self.raw(field, text.as_bytes())
    }

    /// A message within this one.
    pub fn message(self, field: u64, message: Self) -> Self {
        self.raw(field, &message.0)
    }

    /// The same for each of several.
    pub fn messages(self, field: u64, messages: impl IntoIterator<Item = Self>) -> Self {
        messages.into_iter().fold(self, |whole, message| whole.message(field, message))
    }

    /// Numbers of eight bytes each, packed.
    pub fn packed(self, field: u64, values: impl IntoIterator<Item = u64>) -> Self {
        let bytes: Vec<u8> = values.into_iter().flat_map(u64::to_le_bytes).collect();
        self.raw(field, &bytes)
    }

    fn raw(mut self, field: u64, bytes: &[u8]) -> Self {
        self.tag(field, LENGTH);
        self.varint(bytes.len() as u64);
        self.0.extend(bytes);
        self
    }

    fn tag(&mut self, field: u64, layout: u64) {
        self.varint(field << 3 | layout);
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value.to_le_bytes()[0] | 0x80);
            value >>= 7;
        }
        self.0.push(value.to_le_bytes()[0]);
    }
}
