//! The time now, read once per batch: the library's NOW() is folded while planning, which would freeze a query that runs on.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow_schema::DataType;
use datafusion_common::{Result, ScalarValue};
use datafusion_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};
use velo_core::{Clock, time, types};

/// What of the time now a function gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Part {
    Timestamp,
    Date,
    Time,
}

/// NOW() and its like.
#[derive(Debug)]
struct Now {
    name: &'static str,
    part: Part,
    clock: Clock,
    aliases: Vec<String>,
    signature: Signature,
}

impl PartialEq for Now {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Now {}

impl Hash for Now {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

/// NOW, CURRENT_TIMESTAMP, CURRENT_DATE and CURRENT_TIME by this clock.
pub fn functions(clock: &Clock) -> Vec<Arc<ScalarUDF>> {
    let function = |name, part, aliases: &[&str]| {
        Arc::new(ScalarUDF::new_from_impl(Now {
            name,
            part,
            clock: clock.clone(),
            aliases: aliases.iter().map(|alias| (*alias).to_owned()).collect(),
            signature: Signature::exact(vec![], Volatility::Volatile),
        }))
    };
    vec![
        function("now", Part::Timestamp, &["current_timestamp", "localtimestamp"]),
        function("current_date", Part::Date, &["today"]),
        function("current_time", Part::Time, &["localtime"]),
    ]
}

impl ScalarUDFImpl for Now {
    fn name(&self) -> &str {
        self.name
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(match self.part {
            Part::Timestamp => types::TIMESTAMP,
            Part::Date => DataType::Date32,
            Part::Time => types::TIME,
        })
    }

    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let now = self.clock.wall();
        Ok(ColumnarValue::Scalar(match self.part {
            Part::Timestamp => ScalarValue::TimestampMicrosecond(Some(now), None),
            // Days until the year 5,881,580 fit.
            Part::Date => ScalarValue::Date32(i32::try_from(now.div_euclid(time::MICROS_PER_DAY)).ok()),
            Part::Time => ScalarValue::Time64Microsecond(Some(now.rem_euclid(time::MICROS_PER_DAY))),
        }))
    }
}
