//! What indicators cost, as a person and as a program reads it.

use serde_json::{Value, json};

use crate::{
    domain::{
        cost::Measured,
        rows::{Change, Forecast, Rows, counted, gigabytes, grouped},
    },
    pass::{Cost, LaneCost},
};

/// `cost --json`.
pub fn body(cost: &Cost, price: Option<f64>) -> Value {
    let total = Sum::of(cost);
    let mut forecast = json!(total.forecast);
    if let Some(change) = &total.change {
        forecast["more_per_month"] = change.more_per_month.into();
        forecast["rows_once"] = change.rows_once.into();
    }
    if let Some(price) = price {
        forecast["price_per_month"] = json!(gigabytes(total.forecast.bytes_per_month) * price);
    }
    json!({
        "days": total.measured.days,
        "rows": total.measured.rows,
        "bytes": total.measured.bytes,
        "forecast": forecast,
        "lanes": cost.lanes,
    })
}

/// For a person.
pub fn text(cost: &Cost, price: Option<f64>) -> String {
    let mut text = String::new();
    for (name, lane) in &cost.lanes {
        match lane.is_billed {
            true => text.push_str(&format!("{name}\n{}", of_lane(lane, price))),
            false => text.push_str(&format!("{name}: what is sent there makes no rows\n")),
        }
    }
    text
}

fn of_lane(lane: &LaneCost, price: Option<f64>) -> String {
    let Measured { days, rows, bytes } = lane.measured;
    let mut text = String::new();
    match days {
        0 => text.push_str("  nothing was sent yet\n"),
        1 => text.push_str("  today\n"),
        days => text.push_str(&format!("  in the last {}\n", counted(days, "day"))),
    }
    if days > 0 {
        rows_of(&mut text, rows);
        text.push_str(&format!("  {:>12}  GB of objects\n", format!("{:.3}", gigabytes(bytes))));
    }
    let forecast = &lane.forecast;
    text.push_str("  in a month\n");
    rows_of(&mut text, forecast.rows);
    // How long an object is, what was sent tells.
    if rows.total() > 0 {
        let gb = gigabytes(forecast.bytes_per_month);
        text.push_str(&format!("  {:>12}  GB of objects\n", format!("{gb:.3}")));
        if let Some(price) = price {
            let price = format!("{:.2}", gb * price);
            text.push_str(&format!(
                "  {price:>12}  at PRICE_PER_GB for the objects alone: a row of the table is larger\n"
            ));
        }
    }
    if forecast.days == 0 {
        text.push_str(
            "  what is new and changed is not known yet: no whole day has passed since the first sync\n",
        );
    }
    if let Some(change) = &lane.change {
        text.push_str(&format!(
            "  with these settings {}, and {} rows once\n",
            change.words(),
            grouped(change.rows_once)
        ));
    }
    let held = forecast.held;
    text.push_str(&format!(
        "  Microsoft republishes each valid indicator every 7 to 10 days by itself: {} to {} rows a month more\n",
        grouped(held * 3),
        grouped(held * 30 / 7)
    ));
    text
}

fn rows_of(text: &mut String, rows: Rows) {
    let Rows { created, updated, renewed, retracted } = rows;
    for (count, what) in [
        (created, "rows for new indicators"),
        (updated, "rows for changed ones"),
        (renewed, "rows that renew"),
        (retracted, "rows that retract"),
        (rows.total(), "rows in all"),
    ] {
        text.push_str(&format!("  {:>12}  {what}\n", grouped(count)));
    }
}

/// The sum of the lanes whose destinations make rows.
#[derive(Default)]
struct Sum {
    measured: Measured,
    forecast: Forecast,
    change: Option<Change>,
}

impl Sum {
    fn of(cost: &Cost) -> Self {
        let mut sum = Self::default();
        for lane in cost.lanes.values().filter(|lane| lane.is_billed) {
            let Measured { days, rows, bytes } = lane.measured;
            sum.measured.days = sum.measured.days.max(days);
            sum.measured.rows = sum.measured.rows.plus(rows);
            sum.measured.bytes += bytes;
            sum.forecast = sum.forecast.plus(&lane.forecast);
            if let Some(change) = &lane.change {
                let before = sum.change.unwrap_or_default();
                sum.change = Some(Change {
                    forecast: sum.forecast,
                    more_per_month: before.more_per_month + change.more_per_month,
                    rows_once: before.rows_once + change.rows_once,
                });
            }
        }
        sum
    }
}
