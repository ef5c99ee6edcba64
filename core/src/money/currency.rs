//! The currencies of ISO 4217, held as one table.

use std::fmt;
use std::str::FromStr;

use serde::de::{Deserialize, Deserializer, Visitor};
use serde::ser::{Serialize, Serializer};

use super::MoneyError;

/// A currency of ISO 4217, with the number of decimals of its minor unit.
///
/// There is a constant for each active code that has a minor unit, in list one as published on
/// 2026-01-01: [`Currency::EUR`], [`Currency::JPY`], … The Albanian lek, whose code is `ALL`, is
/// [`Currency::LEK`], since [`Currency::ALL`] is the list of them all. The fund codes that have a minor
/// unit (`CLF`, `UYI`, `USN`, …) are in.
///
/// Left out are the codes without a minor unit, in which no exact amount can be written (the metals
/// `XAG`, `XAU`, `XPD` and `XPT`; `XBA` to `XBD`, `XDR`, `XSU`, `XUA`; the test code `XTS` and "no
/// currency", `XXX`), and the withdrawn codes (`ANG`, `BGN`, `CUC`, `HRK`, `SLL`, `ZWL`, …).
///
/// Where a processor counts a currency otherwise than ISO 4217 does, its connector converts; this
/// type always speaks ISO.
///
/// Currencies are ordered by their codes. In text and in serde a currency is its code: upper and lower case are
/// read, upper case is written.
///
/// ```
/// use paymux_core::Currency;
///
/// let dinar: Currency = "bhd".parse()?;
/// assert_eq!(dinar, Currency::BHD);
/// assert_eq!(dinar.exponent(), 3);
/// assert_eq!(dinar.to_string(), "BHD");
/// assert!("BGN".parse::<Currency>().is_err()); // withdrawn: Bulgaria has the euro
/// # Ok::<(), paymux_core::MoneyError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Currency(Code);

/// Makes the codes, the constants and the list from the one table. A row is `CODE decimals "name",`;
/// `CODE as NAME` gives the constant another name than the code.
macro_rules! iso_4217 {
    ($($code:ident $(as $alias:ident)? $exponent:literal $name:literal,)+) => {
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[allow(clippy::upper_case_acronyms, reason = "these are the codes of ISO 4217")]
        enum Code { $($code,)+ }

        impl Currency {
            $(constant! { $code $($alias)?, concat!("`", stringify!($code), "`, ", $name, ", exponent ", $exponent, ".") })+

            /// Every currency, in the order of the codes.
            ///
            /// This is the list, not the Albanian lek, which is [`Currency::LEK`].
            pub const ALL: &'static [Self] = &[$(Self(Code::$code),)+];

            /// The code in upper case, three letters (ISO 4217, alphabetic code).
            pub const fn code(self) -> &'static str {
                match self.0 { $(Code::$code => stringify!($code),)+ }
            }

            /// How many decimals an amount has, so that one unit is 10 to this power minor units (ISO 4217,
            /// minor unit): 0 for `JPY`, 2 for `EUR`, 3 for `BHD`, 4 for `CLF`.
            pub const fn exponent(self) -> u32 {
                match self.0 { $(Code::$code => $exponent,)+ }
            }
        }
    };
}

macro_rules! constant {
    ($code:ident, $doc:expr) => {
        constant! { $code $code, $doc }
    };
    ($code:ident $name:ident, $doc:expr) => {
        #[doc = $doc]
        pub const $name: Self = Self(Code::$code);
    };
}

// ISO 4217, list one, published 2026-01-01. Keep the rows sorted by code: `lookup` and `Ord` rely on it.
iso_4217! {
    AED 2 "UAE Dirham",
    AFN 2 "Afghani",
    ALL as LEK 2 "Lek",
    AMD 2 "Armenian Dram",
    AOA 2 "Kwanza",
    ARS 2 "Argentine Peso",
    AUD 2 "Australian Dollar",
    AWG 2 "Aruban Florin",
    AZN 2 "Azerbaijan Manat",
    BAM 2 "Convertible Mark",
    BBD 2 "Barbados Dollar",
    BDT 2 "Taka",
    BHD 3 "Bahraini Dinar",
    BIF 0 "Burundi Franc",
    BMD 2 "Bermudian Dollar",
    BND 2 "Brunei Dollar",
    BOB 2 "Boliviano",
    BOV 2 "Mvdol",
    BRL 2 "Brazilian Real",
    BSD 2 "Bahamian Dollar",
    BTN 2 "Ngultrum",
    BWP 2 "Pula",
    BYN 2 "Belarusian Ruble",
    BZD 2 "Belize Dollar",
    CAD 2 "Canadian Dollar",
    CDF 2 "Congolese Franc",
    CHE 2 "WIR Euro",
    CHF 2 "Swiss Franc",
    CHW 2 "WIR Franc",
    CLF 4 "Unidad de Fomento",
    CLP 0 "Chilean Peso",
    CNY 2 "Yuan Renminbi",
    COP 2 "Colombian Peso",
    COU 2 "Unidad de Valor Real",
    CRC 2 "Costa Rican Colon",
    CUP 2 "Cuban Peso",
    CVE 2 "Cabo Verde Escudo",
    CZK 2 "Czech Koruna",
    DJF 0 "Djibouti Franc",
    DKK 2 "Danish Krone",
    DOP 2 "Dominican Peso",
    DZD 2 "Algerian Dinar",
    EGP 2 "Egyptian Pound",
    ERN 2 "Nakfa",
    ETB 2 "Ethiopian Birr",
    EUR 2 "Euro",
    FJD 2 "Fiji Dollar",
    FKP 2 "Falkland Islands Pound",
    GBP 2 "Pound Sterling",
    GEL 2 "Lari",
    GHS 2 "Ghana Cedi",
    GIP 2 "Gibraltar Pound",
    GMD 2 "Dalasi",
    GNF 0 "Guinean Franc",
    GTQ 2 "Quetzal",
    GYD 2 "Guyana Dollar",
    HKD 2 "Hong Kong Dollar",
    HNL 2 "Lempira",
    HTG 2 "Gourde",
    HUF 2 "Forint",
    IDR 2 "Rupiah",
    ILS 2 "New Israeli Sheqel",
    INR 2 "Indian Rupee",
    IQD 3 "Iraqi Dinar",
    IRR 2 "Iranian Rial",
    ISK 0 "Iceland Krona",
    JMD 2 "Jamaican Dollar",
    JOD 3 "Jordanian Dinar",
    JPY 0 "Yen",
    KES 2 "Kenyan Shilling",
    KGS 2 "Som",
    KHR 2 "Riel",
    KMF 0 "Comorian Franc",
    KPW 2 "North Korean Won",
    KRW 0 "Won",
    KWD 3 "Kuwaiti Dinar",
    KYD 2 "Cayman Islands Dollar",
    KZT 2 "Tenge",
    LAK 2 "Lao Kip",
    LBP 2 "Lebanese Pound",
    LKR 2 "Sri Lanka Rupee",
    LRD 2 "Liberian Dollar",
    LSL 2 "Loti",
    LYD 3 "Libyan Dinar",
    MAD 2 "Moroccan Dirham",
    MDL 2 "Moldovan Leu",
    MGA 2 "Malagasy Ariary",
    MKD 2 "Denar",
    MMK 2 "Kyat",
    MNT 2 "Tugrik",
    MOP 2 "Pataca",
    MRU 2 "Ouguiya",
    MUR 2 "Mauritius Rupee",
    MVR 2 "Rufiyaa",
    MWK 2 "Malawi Kwacha",
    MXN 2 "Mexican Peso",
    MXV 2 "Mexican Unidad de Inversion (UDI)",
    MYR 2 "Malaysian Ringgit",
    MZN 2 "Mozambique Metical",
    NAD 2 "Namibia Dollar",
    NGN 2 "Naira",
    NIO 2 "Cordoba Oro",
    NOK 2 "Norwegian Krone",
    NPR 2 "Nepalese Rupee",
    NZD 2 "New Zealand Dollar",
    OMR 3 "Rial Omani",
    PAB 2 "Balboa",
    PEN 2 "Sol",
    PGK 2 "Kina",
    PHP 2 "Philippine Peso",
    PKR 2 "Pakistan Rupee",
    PLN 2 "Zloty",
    PYG 0 "Guarani",
    QAR 2 "Qatari Rial",
    RON 2 "Romanian Leu",
    RSD 2 "Serbian Dinar",
    RUB 2 "Russian Ruble",
    RWF 0 "Rwanda Franc",
    SAR 2 "Saudi Riyal",
    SBD 2 "Solomon Islands Dollar",
    SCR 2 "Seychelles Rupee",
    SDG 2 "Sudanese Pound",
    SEK 2 "Swedish Krona",
    SGD 2 "Singapore Dollar",
    SHP 2 "Saint Helena Pound",
    SLE 2 "Leone",
    SOS 2 "Somali Shilling",
    SRD 2 "Surinam Dollar",
    SSP 2 "South Sudanese Pound",
    STN 2 "Dobra",
    SVC 2 "El Salvador Colon",
    SYP 2 "Syrian Pound",
    SZL 2 "Lilangeni",
    THB 2 "Baht",
    TJS 2 "Somoni",
    TMT 2 "Turkmenistan New Manat",
    TND 3 "Tunisian Dinar",
    TOP 2 "Pa'anga",
    TRY 2 "Turkish Lira",
    TTD 2 "Trinidad and Tobago Dollar",
    TWD 2 "New Taiwan Dollar",
    TZS 2 "Tanzanian Shilling",
    UAH 2 "Hryvnia",
    UGX 0 "Uganda Shilling",
    USD 2 "US Dollar",
    USN 2 "US Dollar (Next day)",
    UYI 0 "Uruguay Peso en Unidades Indexadas (UI)",
    UYU 2 "Peso Uruguayo",
    UYW 4 "Unidad Previsional",
    UZS 2 "Uzbekistan Sum",
    VED 2 "Bolívar Soberano",
    VES 2 "Bolívar Soberano",
    VND 0 "Dong",
    VUV 0 "Vatu",
    WST 2 "Tala",
    XAD 2 "Arab Accounting Dinar",
    XAF 0 "CFA Franc BEAC",
    XCD 2 "East Caribbean Dollar",
    XCG 2 "Caribbean Guilder",
    XOF 0 "CFA Franc BCEAO",
    XPF 0 "CFP Franc",
    YER 2 "Yemeni Rial",
    ZAR 2 "Rand",
    ZMW 2 "Zambian Kwacha",
    ZWG 2 "Zimbabwe Gold",
}

impl Currency {
    /// Its place in [`Currency::ALL`].
    pub(crate) const fn place(self) -> u16 {
        self.0 as u16
    }

    /// The currency of a code in upper or lower case. A binary search, `const` for the sake of `money!`.
    pub(super) const fn lookup(code: &[u8]) -> Option<Self> {
        let [a, b, c] = code else { return None };
        let wanted = key([
            a.to_ascii_uppercase(),
            b.to_ascii_uppercase(),
            c.to_ascii_uppercase(),
        ]);
        let (mut low, mut high) = (0, Self::ALL.len());
        while low < high {
            let middle = usize::midpoint(low, high);
            let found = Self::ALL[middle].key();
            if found == wanted {
                return Some(Self::ALL[middle]);
            } else if found < wanted {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        None
    }

    const fn key(self) -> u32 {
        match *self.code().as_bytes() {
            [a, b, c] => key([a, b, c]),
            _ => panic!("a code has three letters"),
        }
    }
}

const fn key([a, b, c]: [u8; 3]) -> u32 {
    u32::from_be_bytes([0, a, b, c])
}

// Checked by the compiler: three letters in each code, and the rows in order.
const _: () = {
    let mut row = 1;
    while row < Currency::ALL.len() {
        assert!(
            Currency::ALL[row - 1].key() < Currency::ALL[row].key(),
            "sort the rows by code"
        );
        row += 1;
    }
};

impl FromStr for Currency {
    type Err = MoneyError;

    /// Reads a code in upper or lower case, and nothing around it.
    ///
    /// # Errors
    ///
    /// [`MoneyError::UnknownCurrency`] unless it is an active code of ISO 4217 that has a minor unit.
    fn from_str(code: &str) -> Result<Self, MoneyError> {
        Self::lookup(code.as_bytes()).ok_or_else(|| MoneyError::unknown_currency(code))
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.code())
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl Serialize for Currency {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.code())
    }
}

impl<'de> Deserialize<'de> for Currency {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct FromCode;

        impl Visitor<'_> for FromCode {
            type Value = Currency;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an ISO 4217 currency code such as \"EUR\"")
            }

            fn visit_str<E: serde::de::Error>(self, code: &str) -> Result<Currency, E> {
                code.parse().map_err(E::custom)
            }
        }

        deserializer.deserialize_str(FromCode)
    }
}
