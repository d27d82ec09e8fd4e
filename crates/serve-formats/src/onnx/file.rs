//! An ONNX file as types (`onnx.proto` of the ONNX project). Only what changes an answer is read, the rest is skipped.
//! Messages of ONNX nest through graphs in attributes, which are not entered, so there is no recursion.

use super::protobuf::{Field, Reader, byte};
use super::tensor::TensorFile;
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

pub(super) fn each<'a>(
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
