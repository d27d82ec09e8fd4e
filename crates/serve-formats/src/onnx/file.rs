//! An ONNX file as types (`onnx.proto` of the ONNX project). Only what changes an answer is read, the rest is skipped.
//! Messages of ONNX nest through graphs in attributes, which are not entered, so there is no recursion.

use super::protobuf::{Field, Reader, byte};
use crate::error::{ImportError, Place, shown};

/// Most nodes, attributes, tensors and inputs together.
const MAX_ITEMS: usize = 1 << 18;

/// `ModelProto`.
#[derive(Debug, Default)]
pub(super) struct ModelFile<'a> {
    pub(super) producer: &'a str,
    pub(super) producer_version: &'a str,
    pub(super) opsets: Vec<(&'a str, i64)>,
    pub(super) metadata: Vec<(&'a str, &'a str)>,
    pub(super) graph: Option<GraphFile<'a>>,
    pub(super) functions: usize,
}

/// `GraphProto`.
#[derive(Debug, Default)]
pub(super) struct GraphFile<'a> {
    pub(super) nodes: Vec<NodeFile<'a>>,
    pub(super) tensors: Vec<TensorFile<'a>>,
    pub(super) inputs: Vec<ValueFile<'a>>,
    pub(super) outputs: Vec<ValueFile<'a>>,
    pub(super) sparse: bool,
}

/// `NodeProto`.
#[derive(Debug, Default)]
pub(super) struct NodeFile<'a> {
    pub(super) number: usize,
    pub(super) name: &'a str,
    pub(super) domain: &'a str,
    pub(super) op: &'a str,
    pub(super) inputs: Vec<&'a str>,
    pub(super) outputs: Vec<&'a str>,
    pub(super) attributes: Vec<AttributeFile<'a>>,
}

/// `AttributeProto`.
#[derive(Debug, Default)]
pub(super) struct AttributeFile<'a> {
    pub(super) name: &'a str,
    pub(super) float: Option<f32>,
    pub(super) int: Option<i64>,
    pub(super) text: Option<Reader<'a>>,
    pub(super) tensor: Option<TensorFile<'a>>,
    pub(super) floats: Vec<f32>,
    pub(super) ints: Vec<i64>,
    pub(super) strings: Vec<&'a str>,
    pub(super) other: bool,
}

/// `TensorProto`.
#[derive(Debug, Default)]
pub(super) struct TensorFile<'a> {
    pub(super) name: &'a str,
    pub(super) kind: i64,
    pub(super) dims: Vec<i64>,
    pub(super) offset: usize,
    floats: Vec<f32>,
    doubles: Vec<f64>,
    ints: Vec<i64>,
    strings: Vec<&'a str>,
    raw: Option<Reader<'a>>,
    external: bool,
}

/// `ValueInfoProto`: an input or output of the graph.
#[derive(Debug, Default)]
pub(super) struct ValueFile<'a> {
    pub(super) name: &'a str,
    /// A tensor's element type; 0 for sequences and maps.
    pub(super) kind: i64,
    /// Dimensions where they are known.
    pub(super) dims: Option<Vec<Option<i64>>>,
}

struct Items(usize);

impl Items {
    fn another(&mut self, offset: usize) -> Result<(), ImportError> {
        self.0 += 1;
        if self.0 <= MAX_ITEMS {
            return Ok(());
        }
        let expected = format!("at most {MAX_ITEMS} nodes, attributes and tensors");
        Err(ImportError::invalid(byte(offset), expected, "more"))
    }
}

fn each<'a>(
    mut reader: Reader<'a>,
    mut take: impl FnMut(Field<'a>) -> Result<(), ImportError>,
) -> Result<(), ImportError> {
    while let Some(field) = reader.next()? {
        take(field)?;
    }
    Ok(())
}

impl<'a> ModelFile<'a> {
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, ImportError> {
        let mut model = Self::default();
        let mut items = Items(0);
        each(Reader::new(bytes), |field| {
            match field.number {
                2 => model.producer = field.text()?,
                3 => model.producer_version = field.text()?,
                7 => model.graph = Some(GraphFile::read(field.message()?, &mut items)?),
                8 => {
                    items.another(field.offset)?;
                    model.opsets.push(opset(field.message()?)?);
                }
                14 => {
                    items.another(field.offset)?;
                    model.metadata.push(entry(field.message()?)?);
                }
                25 => model.functions += 1,
                _ => {}
            }
            Ok(())
        })?;
        Ok(model)
    }
}

fn opset(reader: Reader<'_>) -> Result<(&str, i64), ImportError> {
    let (mut domain, mut version) = ("", 0);
    each(reader, |field| {
        match field.number {
            1 => domain = field.text()?,
            2 => version = field.int()?,
            _ => {}
        }
        Ok(())
    })?;
    Ok((domain, version))
}

fn entry(reader: Reader<'_>) -> Result<(&str, &str), ImportError> {
    let (mut key, mut value) = ("", "");
    each(reader, |field| {
        match field.number {
            1 => key = field.text()?,
            2 => value = field.text()?,
            _ => {}
        }
        Ok(())
    })?;
    Ok((key, value))
}

impl<'a> GraphFile<'a> {
    fn read(reader: Reader<'a>, items: &mut Items) -> Result<Self, ImportError> {
        let mut graph = Self::default();
        each(reader, |field| {
            match field.number {
                1 => {
                    items.another(field.offset)?;
                    let number = graph.nodes.len();
                    graph.nodes.push(NodeFile::read(number, field.message()?, items)?);
                }
                5 => {
                    items.another(field.offset)?;
                    graph.tensors.push(TensorFile::read(field.message()?)?);
                }
                11 | 12 => {
                    items.another(field.offset)?;
                    let value = ValueFile::read(field.message()?)?;
                    if field.number == 11 { graph.inputs.push(value) } else { graph.outputs.push(value) }
                }
                15 => graph.sparse = true,
                _ => {}
            }
            Ok(())
        })?;
        Ok(graph)
    }
}

impl<'a> NodeFile<'a> {
    fn read(number: usize, reader: Reader<'a>, items: &mut Items) -> Result<Self, ImportError> {
        let mut node = Self { number, ..Self::default() };
        each(reader, |field| {
            match field.number {
                1 => node.inputs.push(field.text()?),
                2 => node.outputs.push(field.text()?),
                3 => node.name = field.text()?,
                4 => node.op = field.text()?,
                5 => {
                    items.another(field.offset)?;
                    node.attributes.push(AttributeFile::read(field.message()?)?);
                }
                7 => node.domain = field.text()?,
                _ => {}
            }
            Ok(())
        })?;
        Ok(node)
    }

    /// Where it stands, with its operator and its name.
    pub(super) fn place(&self) -> Place {
        let name = if self.name.is_empty() { String::new() } else { format!(" {}", shown(self.name)) };
        let op: String = self.op.escape_debug().take(60).collect();
        Place::Path(format!("node {}{name}, {op}", self.number))
    }
}

impl<'a> AttributeFile<'a> {
    fn read(reader: Reader<'a>) -> Result<Self, ImportError> {
        let mut attribute = Self::default();
        each(reader, |field| {
            match field.number {
                1 => attribute.name = field.text()?,
                2 => attribute.float = Some(field.float()?),
                3 => attribute.int = Some(field.int()?),
                4 => attribute.text = Some(field.message()?),
                5 => attribute.tensor = Some(TensorFile::read(field.message()?)?),
                7 => field.floats(&mut attribute.floats)?,
                8 => field.ints(&mut attribute.ints)?,
                9 => attribute.strings.push(field.text()?),
                // Graphs, lists of tensors, sparse tensors, types.
                6 | 10 | 11 | 14 | 15 | 21 | 22 | 23 => attribute.other = true,
                _ => {}
            }
            Ok(())
        })?;
        Ok(attribute)
    }
}

impl<'a> ValueFile<'a> {
    fn read(reader: Reader<'a>) -> Result<Self, ImportError> {
        let mut value = Self::default();
        let mut tensor = None;
        each(reader, |field| {
            match field.number {
                1 => value.name = field.text()?,
                2 => each(field.message()?, |field| {
                    if field.number == 1 {
                        tensor = Some(field.message()?);
                    }
                    Ok(())
                })?,
                _ => {}
            }
            Ok(())
        })?;
        if let Some(tensor) = tensor {
            each(tensor, |field| {
                match field.number {
                    1 => value.kind = field.int()?,
                    2 => value.dims = Some(dimensions(field.message()?)?),
                    _ => {}
                }
                Ok(())
            })?;
        }
        Ok(value)
    }
}

fn dimensions(reader: Reader<'_>) -> Result<Vec<Option<i64>>, ImportError> {
    let mut dims = Vec::new();
    each(reader, |field| {
        if field.number == 1 {
            let mut dim = None;
            each(field.message()?, |field| {
                if field.number == 1 {
                    dim = Some(field.int()?);
                }
                Ok(())
            })?;
            dims.push(dim);
        }
        Ok(())
    })?;
    Ok(dims)
}

/// A tensor's values.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Values<'a> {
    Numbers(Vec<f64>),
    Texts(Vec<&'a str>),
}

impl<'a> TensorFile<'a> {
    fn read(reader: Reader<'a>) -> Result<Self, ImportError> {
        let mut tensor = Self { offset: reader.offset(), ..Self::default() };
        each(reader, |field| {
            match field.number {
                1 => field.ints(&mut tensor.dims)?,
                2 => tensor.kind = field.int()?,
                4 => field.floats(&mut tensor.floats)?,
                5 | 7 | 11 => field.ints(&mut tensor.ints)?,
                6 => tensor.strings.push(field.text()?),
                8 => tensor.name = field.text()?,
                9 => tensor.raw = Some(field.message()?),
                10 => field.doubles(&mut tensor.doubles)?,
                13 => tensor.external = true,
                14 => tensor.external |= field.int()? != 0,
                _ => {}
            }
            Ok(())
        })?;
        Ok(tensor)
    }

    fn place(&self) -> Place {
        let name =
            if self.name.is_empty() { String::new() } else { format!(", tensor {}", shown(self.name)) };
        Place::Path(format!("byte {}{name}", self.offset))
    }

    /// Its dimensions, whose product is the number of its values.
    pub(super) fn shape(&self) -> Result<Vec<usize>, ImportError> {
        let shape: Option<Vec<usize>> = self.dims.iter().map(|&n| usize::try_from(n).ok()).collect();
        let product = shape.iter().flatten().try_fold(1_usize, |all, &n| all.checked_mul(n));
        match (shape, product) {
            (Some(shape), Some(_)) => Ok(shape),
            _ => Err(ImportError::invalid(
                self.place(),
                "dimensions",
                format!("{:.60}", format!("{:?}", self.dims)),
            )),
        }
    }

    /// Its values, as many as its shape says.
    pub(super) fn values(&self) -> Result<Values<'a>, ImportError> {
        if self.external {
            let what = "external data".to_owned();
            let supported = "tensors whose values are in the file";
            return Err(ImportError::Unsupported { place: self.place(), what, supported });
        }
        let expected: usize = self.shape()?.iter().product();
        let values = match (self.kind, &self.raw) {
            (8, _) => Values::Texts(self.strings.clone()),
            (_, Some(raw)) => Values::Numbers(self.raw_values(raw.bytes(), expected)?),
            (1, None) => Values::Numbers(self.floats.iter().copied().map(f64::from).collect()),
            (11, None) => Values::Numbers(self.doubles.clone()),
            (2..=7 | 9 | 12 | 13, None) => Values::Numbers(self.ints.iter().map(|&x| x as f64).collect()),
            _ => return Err(self.unsupported()),
        };
        let got = match &values {
            Values::Numbers(numbers) => numbers.len(),
            Values::Texts(texts) => texts.len(),
        };
        if got == expected {
            Ok(values)
        } else {
            Err(ImportError::invalid(self.place(), format!("{expected} values"), got.to_string()))
        }
    }

    fn raw_values(&self, raw: &[u8], expected: usize) -> Result<Vec<f64>, ImportError> {
        let size = match self.kind {
            2 | 3 | 9 => 1,
            4 | 5 => 2,
            1 | 6 | 12 => 4,
            7 | 11 | 13 => 8,
            _ => return Err(self.unsupported()),
        };
        if expected.checked_mul(size) != Some(raw.len()) {
            let expected = format!("{expected} values of {size} bytes");
            return Err(ImportError::invalid(self.place(), expected, format!("{} bytes", raw.len())));
        }
        let wide = |bytes: &[u8]| {
            let mut array = [0; 8];
            array[..size].copy_from_slice(bytes);
            u64::from_le_bytes(array)
        };
        let value = |bytes: &[u8]| {
            let bits = wide(bytes);
            match self.kind {
                1 => f64::from(f32::from_bits(bits as u32)),
                3 => f64::from((bits as u8).cast_signed()),
                5 => f64::from((bits as u16).cast_signed()),
                6 => f64::from((bits as u32).cast_signed()),
                7 => bits.cast_signed() as f64,
                11 => f64::from_bits(bits),
                _ => bits as f64,
            }
        };
        Ok(raw.chunks_exact(size).map(value).collect())
    }

    fn unsupported(&self) -> ImportError {
        let what = format!("the element type {}", kind_name(self.kind));
        ImportError::Unsupported { place: self.place(), what, supported: KINDS }
    }
}

/// The element types that are read.
pub(super) const KINDS: &str = "float, double, integers, bool and string";

/// An element type's name.
pub(super) fn kind_name(kind: i64) -> String {
    const NAMES: [&str; 17] = [
        "undefined",
        "float",
        "uint8",
        "int8",
        "uint16",
        "int16",
        "int32",
        "int64",
        "string",
        "bool",
        "float16",
        "double",
        "uint32",
        "uint64",
        "complex64",
        "complex128",
        "bfloat16",
    ];
    let name = usize::try_from(kind).ok().and_then(|kind| NAMES.get(kind));
    name.map_or_else(|| format!("number {kind}"), |name| (*name).to_owned())
}
