"""The closed table of units: what each name means, exactly.

A dimension is one line of the quantity that can be added to itself and to nothing else: `energy` (electricity and heat),
`energy_gross` and `energy_net` (fuels), `volume` (as metered), `normal_volume` (of gas at stated conditions), and so on.
Numbers are exact definitions: the international pound and yard (1959), the IT British thermal unit (ISO 31-4),
the international calorie left out because it has kinds, normal volumes by the ideal gas law. A test derives each from pint.
"""

from fractions import Fraction as F

_BTU = F("1055.05585262") / 3_600_000  # kWh: Btu (International Table)
_FT3 = F("0.3048") ** 3  # m3
_LB = F("0.45359237")  # kg
_MILE = F("1.609344")  # km
_NAUTICAL = F("1.852")  # km
_PSI = _LB * F("9.80665") / F("0.0254") ** 2  # Pa
_GALLON = 231 * F("0.0254") ** 3  # m3

_NORMAL_K = F("273.15")  # Nm3: 0 C and 101.325 kPa
_SM3 = _NORMAL_K / F("288.15")  # 15 C and 101.325 kPa
_SCF = _FT3 * (F("14.696") * _PSI / 101325) * (_NORMAL_K / ((60 + F("459.67")) * F(5, 9)))  # 60 F and 14.696 psi

_ENERGY = {
    "kWh": (F(1), "KWH kwh Kwh kW·h kW-h kilowatt-hours"),
    "mWh": (F(1, 10**6), "milliwatt-hours"),
    "Wh": (F(1, 1000), "WH wh W·h W-h watt-hours"),
    "MWh": (F(1000), "MW·h MW-h megawatt-hours"),
    "GWh": (F(10**6), ""),
    "TWh": (F(10**9), ""),
    "Wmin": (F(1, 60_000), "W-min W·min W*min watt-minute watt-minutes watt_minutes"),
    "Ws": (F(1, 3_600_000), "W-s W·s"),
    "J": (F(1, 3_600_000), ""),
    "kJ": (F(1, 3600), ""),
    "MJ": (F(1000, 3600), ""),
    "GJ": (F(10**6, 3600), ""),
    "TJ": (F(10**9, 3600), ""),
    "Btu": (_BTU, "BTU"),
    "kBtu": (_BTU * 1000, "kBTU"),
    "mmBtu": (_BTU * 10**6, "MMBtu MMBTU mmbtu"),
    "therm": (_BTU * 10**5, "therms thm"),
}
_POWER = {
    "kW": (F(1), "KW kw kilowatt kilowatts"),
    "mW": (F(1, 10**6), "milliwatts"),
    "W": (F(1, 1000), "w watt watts Watt"),
    "MW": (F(1000), "megawatt megawatts"),
    "GW": (F(10**6), ""),
}


def _calorific(kind: str) -> tuple[dict[str, tuple[F, str]], dict[str, tuple[F, str]]]:
    energy = {f"{name}_{kind}": (factor, "") for name, (factor, _) in _ENERGY.items() if name not in ("mWh", "Wmin", "Ws")}
    return energy, {f"{name}_{kind}": (factor, "") for name, (factor, _) in _POWER.items()}


def _distances(of: str, *, tonne: bool = False) -> dict[str, tuple[F, str]]:
    if tonne:
        short, long = 2000 * _LB / 1000, 2240 * _LB / 1000
        return {
            "tonne_km": (F(1), "tonne.km tonne-km tonne_kilometre tkm t·km t_km"),
            "tonne_statute_mile": (_MILE, ""),
            "tonne_nautical_mile": (_NAUTICAL, ""),
            "short_ton_mile": (short * _MILE, "short_ton-mile"),
            "long_ton_mile": (long * _MILE, "long_ton-mile"),
        }
    return {
        f"{of}_km": (F(1), f"{of}.km {of}-km {of}_kilometre {of[0]}km"),
        f"{of}_mile": (_MILE, f"{of}.mile {of}-mile {of}_miles {of}-miles"),
    }


TABLE: dict[str, dict[str, tuple[F, str]]] = {
    "energy": _ENERGY,
    "energy_rate": _POWER,
    "energy_gross": _calorific("gross")[0],
    "energy_gross_rate": _calorific("gross")[1],
    "energy_net": _calorific("net")[0],
    "energy_net_rate": _calorific("net")[1],
    "reactive_energy": {
        "kvarh": (F(1), "kVArh kVARh kVARH kvarh"),
        "varh": (F(1, 1000), "VArh VARh"),
        "Mvarh": (F(1000), "MVArh MVARh"),
        "vars": (F(1, 3_600_000), ""),
    },
    "reactive_energy_rate": {
        "kvar": (F(1), "kVAr kVAR"),
        "var": (F(1, 1000), "VAr VAR"),
        "Mvar": (F(1000), "MVAr MVAR"),
    },
    "apparent_energy": {"kVAh": (F(1), "KVAH"), "VAh": (F(1, 1000), ""), "MVAh": (F(1000), ""), "VAs": (F(1, 3_600_000), "")},
    "apparent_energy_rate": {"kVA": (F(1), "KVA"), "VA": (F(1, 1000), ""), "MVA": (F(1000), "")},
    "volume": {
        "m3": (F(1), "m³ m^3 m**3 M3 cbm m3(op) cubic_metre cubic_metres cubic_meter cubic_meters"),
        "l": (F(1, 1000), "L litre litres liter liters dm3 dm³ ltr"),
        "ml": (F(1, 10**6), "mL cm3 cm³ millilitre"),
        "cl": (F(1, 10**5), ""),
        "hl": (F(1, 10), "hL"),
        "Ml": (F(1000), "ML megalitre"),
        "ft3": (_FT3, "ft³ ft^3 cu_ft cubic_feet"),
        "ccf": (_FT3 * 100, "CCF hcf"),
        "us_gallon": (_GALLON, "us_gallons gallon_us"),
        "imperial_gallon": (F("0.00454609"), "imperial_gallons uk_gallon gallon_imperial"),
        "oil_barrel": (_GALLON * 42, ""),
    },
    "normal_volume": {
        "Nm3": (F(1), "Nm³ Nm^3 Nm**3 NM3 nm3 m3N m3(N) m³(N) Ncbm"),
        "Nl": (F(1, 1000), "NL Nlitre"),
        "Sm3": (_SM3, "Sm³ Sm^3 Sm**3 SM3 sm3 m3(S) m³(S)"),
        "scf": (_SCF, "SCF"),
    },
    "mass": {
        "kg": (F(1), "KG Kg kilogram kilograms"),
        "g": (F(1, 1000), "gram grams"),
        "mg": (F(1, 10**6), ""),
        "ug": (F(1, 10**9), "µg μg"),
        "t": (F(1000), "tonne tonnes metric_ton metric_tons Mg"),
        "kt": (F(10**6), "Gg"),
        "Mt": (F(10**9), ""),
        "lb": (_LB, "lbs pound pounds"),
        "klb": (_LB * 1000, ""),
        "oz": (_LB / 16, ""),
        "short_ton": (_LB * 2000, "short_tons us_ton"),
        "long_ton": (_LB * 2240, "long_tons uk_ton"),
    },
    "distance": {
        "km": (F(1), "kilometre kilometres kilometer kilometers"),
        "m": (F(1, 1000), "metre metres meter meters"),
        "cm": (F(1, 10**5), ""),
        "mm": (F(1, 10**6), ""),
        "mile": (_MILE, "miles mi"),
        "nautical_mile": (_NAUTICAL, "nautical_miles nmi"),
        "ft": (F("0.0003048"), "feet foot"),
    },
    "vehicle_distance": _distances("vehicle"),
    "passenger_distance": _distances("passenger"),
    "freight": _distances("tonne", tonne=True),
    "lodging": {"room_night": (F(1), "room_nights room-night room-nights")},
    "work": {"fte_hour": (F(1), "fte_hours FTE_hour FTE-hour")},
    "count": {"piece": (F(1), "pieces pcs pc count items item")},
    "time": {
        "h": (F(1), "hour hours hr"),
        "min": (F(1, 60), "minute minutes mins"),
        "s": (F(1, 3600), "sec second seconds"),
        "ms": (F(1, 3_600_000), ""),
        "us": (F(1, 3_600_000_000), "µs μs"),
        "d": (F(24), "day days"),
    },
    "area": {"m2": (F(1), "m² m^2"), "ha": (F(10_000), ""), "ft2": (F("0.3048") ** 2, "ft² sq_ft")},
    "pressure": {
        "Pa": (F(1), ""),
        "hPa": (F(100), ""),
        "kPa": (F(1000), ""),
        "MPa": (F(10**6), ""),
        "bar": (F(10**5), ""),
        "mbar": (F(100), ""),
        "atm": (F(101325), ""),
        "psi": (_PSI, ""),
    },
    "voltage": {"V": (F(1), "volt volts"), "mV": (F(1, 1000), ""), "kV": (F(1000), "")},
    "current": {"A": (F(1), "amp amps ampere amperes"), "mA": (F(1, 1000), ""), "kA": (F(1000), "")},
    "charge": {"Ah": (F(1), ""), "mAh": (F(1, 1000), "")},
    "frequency": {"Hz": (F(1), "hz HZ"), "kHz": (F(1000), ""), "MHz": (F(10**6), "")},
    "ratio": {
        "": (F(1), "1 / - none dimensionless ratio fraction"),
        "%": (F(1, 100), "percent pct %RH %EL %Vol vol% Vol% vol-% /100"),
        "permille": (F(1, 1000), "‰ /1000"),
        "ppm": (F(1, 10**6), "ppmv"),
        "ppb": (F(1, 10**9), "ppbv"),
    },
    "angle": {"deg": (F(1), "° degree degrees lat lon")},
    "illuminance": {"lx": (F(1), "lux")},
    "sound_level": {"dB": (F(1), "dBspl dB(A) Bspl dBA")},
    "signal_level": {"dBm": (F(1), "")},
    "acidity": {"pH": (F(1), "")},
    "conductance": {"S": (F(1), ""), "mS": (F(1, 1000), ""), "uS": (F(1, 10**6), "µS μS")},
    "resistance": {"Ohm": (F(1), "ohm Ω Ω"), "kOhm": (F(1000), "kΩ kΩ")},
    "turns_rate": {"rpm": (F(1), "1/min min-1 rev/min")},
    "turbidity": {"NTU": (F(1), "FNU")},
    "data": {"byte": (F(1), "B bytes"), "kB": (F(1000), ""), "KiB": (F(1024), ""), "MB": (F(10**6), ""), "GB": (F(10**9), "")},
}
"""dimension -> {name: (factor to the first name, the base; other spellings)}; every alias is separated by a blank."""

TEMPERATURES: dict[str, tuple[F, F, str]] = {
    "degC": (F(1), F(0), "°C ℃ ºC C Cel celsius Celsius deg_C"),
    "K": (F(1), F("-273.15"), "kelvin Kelvin"),
    "degF": (F(5, 9), F(-160, 9), "°F ℉ ºF F fahrenheit Fahrenheit deg_F"),
}
"""name -> (factor, offset to degC, other spellings)."""

ALIASES = {
    "cfm": "ft3/min",
    "scfm": "scf/min",
    "scfh": "scf/h",
    "m3h": "m3/h",
    "lpm": "l/min",
    "Nlpm": "Nl/min",
    "kph": "km/h",
    "mph": "mile/h",
}
"""Spellings of quotients."""

_CODES = """
    AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BHD BIF BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF CHF CLF CLP CNY COP
    CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GNF GTQ GYD HKD HNL HTG HUF IDR ILS INR IQD IRR
    ISK JMD JOD JPY KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN
    MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD RUB RWF SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD
    SSP STN SVC SYP SZL THB TJS TMT TND TOP TRY TTD TWD TZS UAH UGX USD UYU UYW UZS VED VES VND VUV WST XAF XCD XCG XOF XPF YER
    ZAR ZMW ZWG BGN HRK
"""
CURRENCIES = frozenset(_CODES.split())
"""ISO 4217 codes of currencies in use, and of the two that joined the euro in 2023 and 2026 (history stays readable)."""

REFUSED = {
    "ton": "a ton has kinds: write t (1000 kg), short_ton (2000 lb) or long_ton (2240 lb)",
    "gallon": "a gallon has kinds: write us_gallon or imperial_gallon",
    "barrel": "a barrel has kinds: write oil_barrel (42 US gallons), or the volume in m3 or l",
    "tonne-mile": "this has kinds: write tonne_km, short_ton_mile, long_ton_mile, tonne_statute_mile or tonne_nautical_mile",
    "cal": "a calorie has kinds: write the energy in kWh or MJ",
    "Mcf": "this is read in two ways: write scf or ft3 and `scale: 1000`",
    "gpm": "a gallon has kinds: write us_gallon/min or imperial_gallon/min",
    "barg": "gauge pressure depends on the weather: write absolute pressure, in bar, kPa or Pa",
    "$": "many currencies use this sign: write the code, like USD",
    "¥": "two currencies use this sign: write JPY or CNY",
    "kW/h": "this is neither power nor energy: write kW for power, kWh for energy",
}
"""Names without one meaning, and what to write instead."""

REFUSED_SPELLINGS = {
    "tons": "ton",
    "Ton": "ton",
    "Tons": "ton",
    "TON": "ton",
    "tn": "ton",
    "gal": "gallon",
    "gallons": "gallon",
    "Gal": "gallon",
    "barrels": "barrel",
    "bbl": "barrel",
    "tonne_mile": "tonne-mile",
    "tonne.mile": "tonne-mile",
    "tonne-miles": "tonne-mile",
    "ton-mile": "tonne-mile",
    "ton_mile": "tonne-mile",
    "ton-miles": "tonne-mile",
    "ton-km": "tonne-mile",
    "ton_km": "tonne-mile",
    "kcal": "cal",
    "Mcal": "cal",
    "Gcal": "cal",
    "mcf": "Mcf",
    "MCF": "Mcf",
    "Mscf": "Mcf",
    "bar(g)": "barg",
    "psig": "barg",
    "kPag": "barg",
    "W/h": "kW/h",
    "MW/h": "kW/h",
}
