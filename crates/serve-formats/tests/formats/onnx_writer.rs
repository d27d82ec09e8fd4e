//! ONNX files written by hand: messages of the wire format, nodes, attributes, types.

/// A small writer of the wire format.
#[derive(Default, Clone)]
pub(crate) struct Message(pub(crate) Vec<u8>);

impl Message {
    pub(crate) fn varint(mut self, number: u64, mut value: u64) -> Self {
        self.push(number << 3);
        loop {
            let byte = (value & 0x7f) as u8;
            value >>= 7;
            self.0.push(if value == 0 { byte } else { byte | 0x80 });
            if value == 0 {
                return self;
            }
        }
    }

    pub(crate) fn push(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push((value & 0x7f) as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    pub(crate) fn bytes(mut self, number: u64, bytes: &[u8]) -> Self {
        self.push(number << 3 | 2);
        self.push(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
        self
    }

    pub(crate) fn text(self, number: u64, text: &str) -> Self {
        self.bytes(number, text.as_bytes())
    }

    pub(crate) fn message(self, number: u64, message: &Self) -> Self {
        self.bytes(number, &message.0)
    }
}

pub(crate) fn node(op: &str, domain: &str, inputs: &[&str], output: &str, attributes: &[Message]) -> Message {
    let node = inputs.iter().fold(Message::default(), |node, input| node.text(1, input));
    let node = node.text(2, output).text(4, op).text(7, domain);
    attributes.iter().fold(node, |node, attribute| node.message(5, attribute))
}

pub(crate) fn ints(name: &str, values: impl Iterator<Item = u64>) -> Message {
    let mut packed = Message::default();
    values.for_each(|value| packed.push(value));
    Message::default().text(1, name).bytes(8, &packed.0)
}

pub(crate) fn floats(name: &str, values: impl Iterator<Item = f32>) -> Message {
    let packed: Vec<u8> = values.flat_map(f32::to_le_bytes).collect();
    Message::default().text(1, name).bytes(7, &packed)
}

pub(crate) fn value(name: &str, kind: u64, dims: &[u64]) -> Message {
    let dim = |n: &u64| Message::default().varint(1, *n);
    let shape = dims.iter().fold(Message::default(), |shape, n| shape.message(1, &dim(n)));
    let tensor = Message::default().varint(1, kind).message(2, &shape);
    Message::default().text(1, name).message(2, &Message::default().message(1, &tensor))
}
