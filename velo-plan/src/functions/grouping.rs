//! GROUPING(a, b): stands in an expression until the grouping sets of its query are known.

use std::any::Any;
use std::sync::Arc;

use arrow_schema::DataType;
use datafusion_common::{DataFusionError, Result};
use datafusion_expr::expr::ScalarFunction;
use datafusion_expr::{ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};

/// The call as bound; [`grouping_of`] finds it again.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Grouping {
    signature: Signature,
}

impl ScalarUDFImpl for Grouping {
    fn name(&self) -> &str {
        "grouping"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Int64)
    }

    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> Result<ColumnarValue> {
        Err(DataFusionError::Internal("GROUPING without its grouping sets".to_owned()))
    }
}

/// GROUPING of these expressions.
pub fn grouping(arguments: Vec<Expr>) -> Expr {
    let function = Grouping { signature: Signature::variadic_any(Volatility::Volatile) };
    Expr::ScalarFunction(ScalarFunction::new_udf(Arc::new(ScalarUDF::new_from_impl(function)), arguments))
}

/// The arguments, where an expression is GROUPING.
pub fn grouping_of(expr: &Expr) -> Option<&[Expr]> {
    let Expr::ScalarFunction(call) = expr else { return None };
    (call.func.inner().as_ref() as &dyn Any).downcast_ref::<Grouping>().map(|_| call.args.as_slice())
}
