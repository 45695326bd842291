//! What Python code appends: its arguments, checked and held until the engine has copied them.

use std::net::SocketAddr;

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::pybacked::{PyBackedBytes, PyBackedStr};
use pyo3::types::{PyBytes, PyDict, PyMapping, PyMemoryView, PyString};

use crate::errors::{OrRaise, exception};
use crate::options::address;

/// The bytes of a body: `bytes` where they lie, any other buffer as a copy, since its owner can
/// change it while the engine reads it without the interpreter's lock.
pub(crate) struct Body<'py>(Bound<'py, PyBytes>);

impl Body<'_> {
    /// The bytes; they never change.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl<'py> FromPyObject<'_, 'py> for Body<'py> {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        if let Ok(bytes) = object.cast::<PyBytes>() {
            return Ok(Self(bytes.to_owned()));
        }
        if object.is_instance_of::<PyString>() {
            return Err(PyTypeError::new_err(
                "a body is bytes or another buffer, not str: encode it first",
            ));
        }
        let copied = PyMemoryView::from(&object)?.call_method0("tobytes")?;
        Ok(Self(copied.cast_into::<PyBytes>()?))
    }
}

/// Keys: several strings, not one. Boxed, as properties are: few messages have them, and an
/// absent vector is moved as slowly as one that is there.
#[expect(clippy::box_collection, reason = "an argument that is one pointer stays in a register")]
pub(crate) struct Keys(Box<Vec<PyBackedStr>>);

impl FromPyObject<'_, '_> for Keys {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, '_, PyAny>) -> PyResult<Self> {
        if object.is_instance_of::<PyString>() {
            return Err(PyTypeError::new_err("keys are a list of str, not one str"));
        }
        let keys = object.try_iter()?.map(|key| key?.extract());
        Ok(Self(Box::new(keys.collect::<PyResult<_>>()?)))
    }
}

/// Properties: a mapping from names to values.
#[expect(clippy::box_collection, reason = "an argument that is one pointer stays in a register")]
pub(crate) struct Properties(Box<Vec<(PyBackedStr, PyBackedStr)>>);

impl FromPyObject<'_, '_> for Properties {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, '_, PyAny>) -> PyResult<Self> {
        let pair = |(name, value): (Bound<'_, PyAny>, Bound<'_, PyAny>)| {
            PyResult::Ok((name.extract()?, value.extract()?))
        };
        if let Ok(dict) = object.cast::<PyDict>() {
            return Ok(Self(Box::new(dict.iter().map(pair).collect::<PyResult<_>>()?)));
        }
        let items = object.cast::<PyMapping>()?.items()?;
        let items = items.iter().map(|item| pair(item.extract()?));
        Ok(Self(Box::new(items.collect::<PyResult<_>>()?)))
    }
}

/// Every field of a message besides topic and body.
#[derive(Default)]
pub(crate) struct Fields {
    queue_id: i32,
    tag: Option<PyBackedStr>,
    keys: Vec<PyBackedStr>,
    properties: Vec<(PyBackedStr, PyBackedStr)>,
    flag: i32,
    sys_flag: i32,
    born_timestamp_ms: Option<i64>,
    born_host: Option<SocketAddr>,
    reconsume_times: i32,
    prepared_transaction_offset: i64,
    delay_level: u32,
    no_wait: bool,
}

/// The arguments that most calls give; see [`RareFields`] for the others.
pub(crate) struct CommonFields<'py> {
    pub(crate) queue_id: i32,
    pub(crate) tag: Option<Bound<'py, PyString>>,
    pub(crate) keys: Option<Keys>,
    pub(crate) properties: Option<Properties>,
    pub(crate) wait_store_ok: bool,
}

/// The arguments that few calls give, where each is an argument of its own: Python passes those
/// without making a tuple and a dict for the call.
#[derive(Default)]
pub(crate) struct RareFields<'a, 'py> {
    pub(crate) flag: i32,
    pub(crate) sys_flag: i32,
    pub(crate) born_timestamp_ms: Option<i64>,
    pub(crate) born_host: Option<&'a Bound<'py, PyAny>>,
    pub(crate) reconsume_times: i32,
    pub(crate) prepared_transaction_offset: i64,
    pub(crate) delay_level: u32,
}

impl RareFields<'_, '_> {
    fn are_given(&self) -> bool {
        let numbers = self.flag | self.sys_flag | self.reconsume_times;
        numbers != 0
            || self.prepared_transaction_offset != 0
            || self.delay_level != 0
            || self.born_timestamp_ms.is_some()
            || self.born_host.is_some()
    }
}

/// What a call is to append: lent as it came where it is only a body, which is the common case and
/// the fast one.
pub(crate) enum Given {
    Plain { queue_id: i32, wait_store_ok: bool },
    Full(Box<Fields>),
}

impl Given {
    /// Has `append` called with the engine's message.
    pub(crate) fn lend<T>(
        &self,
        topic: &str,
        body: &[u8],
        append: impl FnOnce(&cairnlog::Message<'_>) -> T,
    ) -> T {
        match self {
            Self::Plain { queue_id, wait_store_ok } => {
                let message = cairnlog::Message::new(topic, body).queue_id(*queue_id);
                append(&message.wait_store_ok(*wait_store_ok))
            }
            Self::Full(fields) => append(&fields.message(topic, body, &fields.lists())),
        }
    }
}

impl CommonFields<'_> {
    /// Whatever was given.
    #[inline(always)]
    pub(crate) fn given(self, py: Python<'_>, rare: RareFields<'_, '_>) -> PyResult<Given> {
        let plain = self.tag.is_none() && self.keys.is_none() && self.properties.is_none();
        if plain && !rare.are_given() {
            let Self { queue_id, wait_store_ok, .. } = self;
            return Ok(Given::Plain { queue_id, wait_store_ok });
        }
        Ok(Given::Full(self.with_rare(py, rare)?))
    }

    #[inline(never)]
    fn with_rare(self, py: Python<'_>, rare: RareFields<'_, '_>) -> PyResult<Box<Fields>> {
        let born_host = rare.born_host.map(|host| address(py, host)).transpose()?;
        Ok(Box::new(Fields {
            flag: rare.flag,
            sys_flag: rare.sys_flag,
            born_timestamp_ms: rare.born_timestamp_ms,
            born_host,
            reconsume_times: rare.reconsume_times,
            prepared_transaction_offset: rare.prepared_transaction_offset,
            delay_level: rare.delay_level,
            ..self.fields()?
        }))
    }

    fn fields(self) -> PyResult<Fields> {
        Ok(Fields {
            queue_id: self.queue_id,
            tag: self.tag.map(PyBackedStr::try_from).transpose()?,
            keys: self.keys.map(|keys| *keys.0).unwrap_or_default(),
            properties: self.properties.map(|pairs| *pairs.0).unwrap_or_default(),
            no_wait: !self.wait_store_ok,
            ..Fields::default()
        })
    }

    /// All fields; `rare` holds the keyword arguments that few calls give.
    pub(crate) fn with(self, py: Python<'_>, rare: Option<&Bound<'_, PyDict>>) -> PyResult<Fields> {
        let mut fields = self.fields()?;
        for (name, value) in rare.into_iter().flatten() {
            match name.cast::<PyString>()?.to_str()? {
                "flag" => fields.flag = value.extract()?,
                "sys_flag" => fields.sys_flag = value.extract()?,
                "born_timestamp_ms" => fields.born_timestamp_ms = value.extract()?,
                "born_host" if value.is_none() => fields.born_host = None,
                "born_host" => fields.born_host = Some(address(py, &value)?),
                "reconsume_times" => fields.reconsume_times = value.extract()?,
                "prepared_transaction_offset" => {
                    fields.prepared_transaction_offset = value.extract()?;
                }
                "delay_level" => fields.delay_level = value.extract()?,
                other => {
                    return Err(PyTypeError::new_err(format!(
                        "there is no keyword argument {other:?}"
                    )));
                }
            }
        }
        Ok(fields)
    }
}

/// The lists of borrowed strings that a message of the engine refers to. Nothing where there are
/// neither keys nor properties, which is the common case.
pub(crate) struct Lists<'a>(Option<Box<KeysAndProperties<'a>>>);

type KeysAndProperties<'a> = (Vec<&'a str>, Vec<(&'a str, &'a str)>);

impl Fields {
    fn keys(&self) -> Vec<&str> {
        self.keys.iter().map(|key| &**key).collect()
    }

    /// The lists to lend to the engine.
    #[inline]
    pub(crate) fn lists(&self) -> Lists<'_> {
        if self.keys.is_empty() && self.properties.is_empty() {
            return Lists(None);
        }
        let properties = self.properties.iter().map(|(name, value)| (&**name, &**value));
        Lists(Some(Box::new((self.keys(), properties.collect()))))
    }

    /// The engine's message.
    pub(crate) fn message<'a>(
        &'a self,
        topic: &'a str,
        body: &'a [u8],
        lists: &'a Lists<'a>,
    ) -> cairnlog::Message<'a> {
        let (keys, properties): (&[_], &[_]) = match &lists.0 {
            Some(lists) => (&lists.0, &lists.1),
            None => (&[], &[]),
        };
        cairnlog::Message {
            topic,
            queue_id: self.queue_id,
            body,
            tag: self.tag.as_deref(),
            keys,
            properties,
            flag: self.flag,
            sys_flag: self.sys_flag,
            born_timestamp_ms: self.born_timestamp_ms,
            born_host: self.born_host,
            reconsume_times: self.reconsume_times,
            prepared_transaction_offset: self.prepared_transaction_offset,
            delay_level: self.delay_level,
            wait_store_ok: !self.no_wait,
        }
    }
}

/// One message to append, for `Store.append_many` and `encode_batch`.
///
/// The arguments are those of `Store.append`. A body that is not `bytes` is copied here.
///
/// >>> message = cairnlog.Message("orders", b"20 pears", queue_id=3, tag="new", keys=["42"])
/// >>> message.topic, message.queue_id, message.body
/// ('orders', 3, b'20 pears')
#[pyclass(frozen, module = "cairnlog")]
pub(crate) struct Message {
    topic: PyBackedStr,
    body: PyBackedBytes,
    fields: Fields,
}

impl Message {
    pub(crate) fn lists(&self) -> Lists<'_> {
        self.fields.lists()
    }

    pub(crate) fn lend<'a>(&'a self, lists: &'a Lists<'a>) -> cairnlog::Message<'a> {
        self.fields.message(&self.topic, &self.body, lists)
    }
}

#[pymethods]
impl Message {
    #[new]
    #[pyo3(signature = (topic, body, *, queue_id=0, tag=None, keys=None, properties=None,
                        wait_store_ok=true, **rare))]
    #[expect(clippy::too_many_arguments, reason = "each is a keyword argument in Python")]
    fn new(
        py: Python<'_>,
        topic: PyBackedStr,
        body: Body<'_>,
        queue_id: i32,
        tag: Option<Bound<'_, PyString>>,
        keys: Option<Keys>,
        properties: Option<Properties>,
        wait_store_ok: bool,
        rare: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Self> {
        let common = CommonFields { queue_id, tag, keys, properties, wait_store_ok };
        Ok(Self { topic, body: PyBackedBytes::from(body.0), fields: common.with(py, rare)? })
    }

    /// The topic.
    #[getter]
    fn topic(&self) -> &str {
        &self.topic
    }

    /// The payload.
    #[getter]
    fn body<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        Ok(self.body.clone_ref(py).into_pyobject(py)?.into_any())
    }

    /// The queue inside the topic.
    #[getter]
    fn queue_id(&self) -> i32 {
        self.fields.queue_id
    }

    /// The tag, if there is one.
    #[getter]
    fn tag(&self) -> Option<&str> {
        self.fields.tag.as_deref()
    }

    /// The keys.
    #[getter]
    fn keys(&self) -> Vec<&str> {
        self.fields.keys()
    }

    /// The properties besides tag and keys.
    #[getter]
    fn properties<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let properties = PyDict::new(py);
        for (name, value) in &self.fields.properties {
            properties.set_item(&**name, &**value)?;
        }
        Ok(properties)
    }

    fn __repr__(&self) -> String {
        format!(
            "Message({:?}, <{} bytes>, queue_id={})",
            self.topic.as_str(),
            self.body.len(),
            self.fields.queue_id
        )
    }
}

/// Messages taken from a Python iterable, held while the engine reads them.
pub(crate) fn collect<'py>(messages: &Bound<'py, PyAny>) -> PyResult<Vec<PyRef<'py, Message>>> {
    let messages = messages.try_iter()?;
    messages.map(|message| Ok(message?.cast_into::<Message>()?.borrow())).collect()
}

/// Encodes messages as `Store.append_batch` and `Store.append_inner_batch` take them.
///
/// Of each message, body, flag, tag, keys and properties are used; topic, queue and the rest are
/// what the batch's messages share, and are arguments of the append.
///
/// >>> items = cairnlog.encode_batch(cairnlog.Message("orders", body) for body in (b"a", b"b"))
/// >>> len(items)
/// 46
#[pyfunction]
pub(crate) fn encode_batch<'py>(
    py: Python<'py>,
    messages: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyBytes>> {
    let mut items = Vec::new();
    for message in collect(messages)? {
        let properties = item_properties(&message).map_err(|error| exception(py, &error))?;
        cairnlog::encode_batch_item(&mut items, message.fields.flag, &message.body, &properties)
            .or_raise(py)?;
    }
    Ok(PyBytes::new(py, &items))
}

/// The properties of a batch item in the form of the format: name, 0x01, value, 0x02.
fn item_properties(message: &Message) -> cairnlog::Result<Vec<u8>> {
    let fields = &message.fields;
    let keys = fields.keys().join(" ");
    let mut encoded = Vec::new();
    let tag = fields.tag.as_deref().map(|tag| (cairnlog::PROPERTY_TAGS, tag));
    let keys = (!keys.is_empty()).then_some((cairnlog::PROPERTY_KEYS, &*keys));
    let others = fields.properties.iter().map(|(name, value)| (&**name, &**value));
    for (name, value) in others.chain(tag).chain(keys) {
        let illegal = name.is_empty()
            || value.is_empty()
            || name.contains(['\u{1}', '\u{2}'])
            || value.contains('\u{2}');
        if illegal {
            return Err(cairnlog::Error::new(
                cairnlog::Status::PropertiesIllegal,
                format!("property {name:?} or its value is empty or holds a separator byte"),
            ));
        }
        for part in [name, "\u{1}", value, "\u{2}"] {
            encoded.extend_from_slice(part.as_bytes());
        }
    }
    Ok(encoded)
}
