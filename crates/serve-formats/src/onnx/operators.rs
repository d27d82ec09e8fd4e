//! Which operators there are.

mod arithmetic;
mod encoders;
mod layout;
mod linear;
mod reductions;
mod scores;
mod support_vectors;
mod tree_attributes;
mod tree_growth;
mod trees;

use super::file::NodeFile;
use super::lower::{Fault, Lowering, Value};

/// Said where an operator is refused.
pub(super) const SUPPORTED: &str = "\
Abs Add And ArgMax ArgMin BatchNormalization Cast Ceil Clip Concat Constant ConstantOfShape Cos CumSum Div Dropout Elu \
Equal Erf Exp Expand Flatten Floor Gather GatherElements Gemm Greater GreaterOrEqual Identity IsInf IsNaN LeakyRelu \
Less LessOrEqual Log LogSoftmax MatMul Max Mean Min Mod Mul Neg Not OneHot Or Pow Range Reciprocal ReduceL1 ReduceL2 \
ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare Relu Reshape Round \
Shape Sigmoid Sign Sin Slice Softmax Softplus Softsign Split Sqrt Squeeze Sub Sum Tanh Tile TopK Transpose Unsqueeze \
Where Xor, and of ai.onnx.ml ArrayFeatureExtractor Binarizer CategoryMapper FeatureVectorizer Imputer LabelEncoder \
LinearClassifier LinearRegressor Normalizer OneHotEncoder SVMClassifier SVMRegressor Scaler TreeEnsemble \
TreeEnsembleClassifier TreeEnsembleRegressor ZipMap";

/// A node's results.
pub(super) fn lower<'a>(node: &NodeFile<'a>, low: &mut Lowering<'a>) -> Result<Vec<Value>, Fault> {
    let one = match node.domain {
        "" | "ai.onnx" => {
            if let Some(op) = arithmetic::unary_op(node) {
                arithmetic::unary(op, node, low)?
            } else if let Some(op) = arithmetic::binary_op(node) {
                arithmetic::binary(op, node, low)?
            } else if let Some(kind) = reductions::reduction(node) {
                reductions::reduce(kind, node, low)?
            } else {
                return standard(node, low);
            }
        }
        "ai.onnx.ml" => return traditional(node, low),
        _ => return Err(unknown(node)),
    };
    Ok(vec![one])
}

fn unknown(node: &NodeFile<'_>) -> Fault {
    let op: String = node.op.escape_debug().take(60).collect();
    let domain: String = node.domain.escape_debug().take(60).collect();
    let of = if domain.is_empty() { String::new() } else { format!(" of {domain}") };
    Fault::unsupported(format!("the operator {op}{of}"), SUPPORTED)
}

fn standard<'a>(node: &NodeFile<'a>, low: &mut Lowering<'a>) -> Result<Vec<Value>, Fault> {
    let one = match node.op {
        "Identity" | "Dropout" => low.operand(node, 0)?,
        "Cast" => layout::cast(node, low)?,
        "Constant" => layout::constant(node, low)?,
        "ConstantOfShape" => layout::constant_of_shape(node, low)?,
        "Shape" => layout::shape(node, low)?,
        "Range" => layout::range(node, low)?,
        "Reshape" => layout::reshape(node, low)?,
        "Flatten" => layout::flatten(node, low)?,
        "Squeeze" => layout::squeeze(node, low)?,
        "Unsqueeze" => layout::unsqueeze(node, low)?,
        "Transpose" => layout::transpose(node, low)?,
        "Slice" => layout::slice(node, low)?,
        "Split" => return layout::split(node, low),
        "Concat" => layout::concat(node, low)?,
        "Expand" => layout::expand(node, low)?,
        "Tile" => layout::tile(node, low)?,
        "Gather" => layout::gather(node, low)?,
        "GatherElements" => layout::gather_elements(node, low)?,
        "ArgMax" | "ArgMin" => reductions::arg(node, low)?,
        "Softmax" | "LogSoftmax" => reductions::softmax(node, low)?,
        "CumSum" => reductions::cumulative_sum(node, low)?,
        "TopK" => return reductions::top_k(node, low),
        "Where" => arithmetic::choose(node, low)?,
        "Clip" => arithmetic::clip(node, low)?,
        "Sum" | "Mean" | "Max" | "Min" => arithmetic::variadic(node, low)?,
        "MatMul" => arithmetic::matmul(node, low)?,
        "Gemm" => arithmetic::gemm(node, low)?,
        "BatchNormalization" => arithmetic::batch_normalization(node, low)?,
        "OneHot" => encoders::one_hot(node, low)?,
        _ => return Err(unknown(node)),
    };
    Ok(vec![one])
}

fn traditional<'a>(node: &NodeFile<'a>, low: &mut Lowering<'a>) -> Result<Vec<Value>, Fault> {
    let one = match node.op {
        "ArrayFeatureExtractor" => layout::array_feature_extractor(node, low)?,
        "Binarizer" => encoders::binarizer(node, low)?,
        "CategoryMapper" => encoders::category_mapper(node, low)?,
        "FeatureVectorizer" => encoders::feature_vectorizer(node, low)?,
        "Imputer" => encoders::imputer(node, low)?,
        "LabelEncoder" => encoders::label_encoder(node, low)?,
        "Normalizer" => encoders::normalizer(node, low)?,
        "OneHotEncoder" => encoders::one_hot_encoder(node, low)?,
        "Scaler" => encoders::scaler(node, low)?,
        "ZipMap" => low.operand(node, 0)?,
        "LinearRegressor" => linear::regressor(node, low)?,
        "SVMRegressor" => support_vectors::regressor(node, low)?,
        "TreeEnsembleRegressor" => trees::regressor(node, low)?,
        "TreeEnsemble" => trees::ensemble(node, low)?,
        "LinearClassifier" => return linear::classifier(node, low),
        "SVMClassifier" => return support_vectors::classifier(node, low),
        "TreeEnsembleClassifier" => return trees::classifier(node, low),
        _ => return Err(unknown(node)),
    };
    Ok(vec![one])
}
