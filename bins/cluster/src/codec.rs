//! What of a plan travels between client, scheduler and executors that Ballista does not know: our functions, tables and plans, as JSON
//! (`serve_score::sql`). Everything else is Ballista's.

use std::sync::Arc;

use ballista_core::serde::{BallistaLogicalExtensionCodec, BallistaPhysicalExtensionCodec};
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::TableProvider;
use datafusion::common::{Result, TableReference};
use datafusion::datasource::file_format::FileFormatFactory;
use datafusion::execution::TaskContext;
use datafusion::logical_expr::{AggregateUDF, Extension, LogicalPlan, ScalarUDF, WindowUDF};
use datafusion::physical_plan::ExecutionPlan;
use datafusion_proto::logical_plan::LogicalExtensionCodec;
use datafusion_proto::physical_plan::{PhysicalExtensionCodec, PhysicalProtoConverterExtension};
use serve_score::Models;
use serve_score::sql;

/// What our plans begin with, which no message of Ballista's does.
const OURS: &[u8] = b"serve-score:";

fn encoded(function: &ScalarUDF, into: &mut Vec<u8>) -> Result<bool> {
    let ours = sql::encode_function(function)?;
    into.extend(ours.iter().flatten());
    Ok(ours.is_some())
}

/// Plans as the client sends them.
#[derive(Debug)]
pub(crate) struct LogicalCodec {
    inner: BallistaLogicalExtensionCodec,
    models: Arc<Models>,
}

impl LogicalCodec {
    pub(crate) fn new(models: Arc<Models>) -> Self {
        Self { inner: BallistaLogicalExtensionCodec::default(), models }
    }
}

impl LogicalExtensionCodec for LogicalCodec {
    fn try_decode(&self, bytes: &[u8], inputs: &[LogicalPlan], context: &TaskContext) -> Result<Extension> {
        self.inner.try_decode(bytes, inputs, context)
    }

    fn try_encode(&self, node: &Extension, into: &mut Vec<u8>) -> Result<()> {
        self.inner.try_encode(node, into)
    }

    fn try_decode_table_provider(
        &self,
        bytes: &[u8],
        table: &TableReference,
        schema: SchemaRef,
        context: &TaskContext,
    ) -> Result<Arc<dyn TableProvider>> {
        match bytes.strip_prefix(OURS) {
            Some(ours) => sql::decode_table(ours, &self.models),
            None => self.inner.try_decode_table_provider(bytes, table, schema, context),
        }
    }

    fn try_encode_table_provider(
        &self,
        name: &TableReference,
        table: Arc<dyn TableProvider>,
        into: &mut Vec<u8>,
    ) -> Result<()> {
        match sql::encode_table(table.as_ref())? {
            Some(ours) => into.extend(OURS.iter().chain(&ours)),
            None => self.inner.try_encode_table_provider(name, table, into)?,
        }
        Ok(())
    }

    fn try_decode_file_format(
        &self,
        bytes: &[u8],
        context: &TaskContext,
    ) -> Result<Arc<dyn FileFormatFactory>> {
        self.inner.try_decode_file_format(bytes, context)
    }

    fn try_encode_file_format(&self, into: &mut Vec<u8>, format: Arc<dyn FileFormatFactory>) -> Result<()> {
        self.inner.try_encode_file_format(into, format)
    }

    fn try_decode_udf(&self, name: &str, bytes: &[u8]) -> Result<Arc<ScalarUDF>> {
        sql::decode_function(name, bytes, &self.models)
    }

    fn try_encode_udf(&self, function: &ScalarUDF, into: &mut Vec<u8>) -> Result<()> {
        if encoded(function, into)? { Ok(()) } else { self.inner.try_encode_udf(function, into) }
    }

    fn try_decode_udaf(&self, name: &str, bytes: &[u8]) -> Result<Arc<AggregateUDF>> {
        self.inner.try_decode_udaf(name, bytes)
    }

    fn try_encode_udaf(&self, function: &AggregateUDF, into: &mut Vec<u8>) -> Result<()> {
        self.inner.try_encode_udaf(function, into)
    }

    fn try_decode_udwf(&self, name: &str, bytes: &[u8]) -> Result<Arc<WindowUDF>> {
        self.inner.try_decode_udwf(name, bytes)
    }

    fn try_encode_udwf(&self, function: &WindowUDF, into: &mut Vec<u8>) -> Result<()> {
        self.inner.try_encode_udwf(function, into)
    }
}

/// Plans as the scheduler sends them on.
#[derive(Debug)]
pub(crate) struct PhysicalCodec {
    inner: BallistaPhysicalExtensionCodec,
    models: Arc<Models>,
}

impl PhysicalCodec {
    pub(crate) fn new(models: Arc<Models>) -> Self {
        Self { inner: BallistaPhysicalExtensionCodec::default(), models }
    }
}

impl PhysicalExtensionCodec for PhysicalCodec {
    fn try_decode(
        &self,
        bytes: &[u8],
        inputs: &[Arc<dyn ExecutionPlan>],
        context: &TaskContext,
        converter: &dyn PhysicalProtoConverterExtension,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        match bytes.strip_prefix(OURS) {
            Some(ours) => sql::decode_plan(ours, inputs, &self.models),
            None => self.inner.try_decode(bytes, inputs, context, converter),
        }
    }

    fn try_encode(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        into: &mut Vec<u8>,
        converter: &dyn PhysicalProtoConverterExtension,
    ) -> Result<()> {
        match sql::encode_plan(plan.as_ref())? {
            Some(ours) => into.extend(OURS.iter().chain(&ours)),
            None => self.inner.try_encode(plan, into, converter)?,
        }
        Ok(())
    }

    fn try_decode_udf(&self, name: &str, bytes: &[u8]) -> Result<Arc<ScalarUDF>> {
        sql::decode_function(name, bytes, &self.models)
    }

    fn try_encode_udf(&self, function: &ScalarUDF, into: &mut Vec<u8>) -> Result<()> {
        if encoded(function, into)? { Ok(()) } else { self.inner.try_encode_udf(function, into) }
    }

    fn try_decode_udaf(&self, name: &str, bytes: &[u8]) -> Result<Arc<AggregateUDF>> {
        self.inner.try_decode_udaf(name, bytes)
    }

    fn try_encode_udaf(&self, function: &AggregateUDF, into: &mut Vec<u8>) -> Result<()> {
        self.inner.try_encode_udaf(function, into)
    }

    fn try_decode_udwf(&self, name: &str, bytes: &[u8]) -> Result<Arc<WindowUDF>> {
        self.inner.try_decode_udwf(name, bytes)
    }

    fn try_encode_udwf(&self, function: &WindowUDF, into: &mut Vec<u8>) -> Result<()> {
        self.inner.try_encode_udwf(function, into)
    }
}
