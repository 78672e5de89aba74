//! The kinds of number, with what checks them and what stands before them.

use super::sums;

/// Kinds of number, by country (ISO 3166-1) and name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::detect::signature) enum National {
    /// Austrian social insurance number.
    AtInsurance,
    /// Australian Medicare number.
    AuMedicare,
    /// Australian tax file number.
    AuTax,
    /// Belgian national number.
    BeRegister,
    /// Bulgarian EGN.
    BgCitizen,
    /// Brazilian CPF.
    BrCpf,
    /// Canadian social insurance number.
    CaInsurance,
    /// Swiss AHV number.
    ChInsurance,
    /// Chilean RUT.
    ClRut,
    /// Chinese resident identity number (GB 11643).
    CnResident,
    /// Czech or Slovak birth number.
    CzBirth,
    /// German tax identification number.
    DeTax,
    /// Danish CPR number.
    DkCpr,
    /// Estonian or Lithuanian personal code.
    EeLtCode,
    /// Spanish DNI or NIE.
    EsDni,
    /// Finnish personal identity code.
    FiIdentity,
    /// French NIR.
    FrNir,
    /// Greek AMKA.
    GrAmka,
    /// Croatian OIB.
    HrOib,
    /// Irish PPS number.
    IePps,
    /// Indian Aadhaar.
    InAadhaar,
    /// Indian permanent account number.
    InPan,
    /// Italian codice fiscale.
    ItFiscal,
    /// Japanese My Number.
    JpNumber,
    /// Korean resident registration number.
    KrResident,
    /// Mexican CURP.
    MxCurp,
    /// Dutch BSN.
    NlBsn,
    /// Norwegian birth number.
    NoBirth,
    /// Polish PESEL.
    PlPesel,
    /// Portuguese NIF.
    PtNif,
    /// Romanian CNP.
    RoCnp,
    /// Swedish personal identity number.
    SeNumber,
    /// Singaporean NRIC or FIN.
    SgNric,
    /// Turkish identity number.
    TrNumber,
    /// British NHS number.
    UkNhs,
    /// British national insurance number.
    UkNino,
    /// South African identity number.
    ZaIdentity,
}

impl National {
    /// Every kind with its word in a rule's `class`.
    pub(in crate::detect::signature) const ALL: [(Self, &'static str); 37] = [
        (Self::AtInsurance, "at-insurance"),
        (Self::AuMedicare, "au-medicare"),
        (Self::AuTax, "au-tfn"),
        (Self::BeRegister, "be-national"),
        (Self::BgCitizen, "bg-egn"),
        (Self::BrCpf, "br-cpf"),
        (Self::CaInsurance, "ca-sin"),
        (Self::ChInsurance, "ch-ahv"),
        (Self::ClRut, "cl-rut"),
        (Self::CnResident, "cn-resident"),
        (Self::CzBirth, "cz-birth"),
        (Self::DeTax, "de-tax"),
        (Self::DkCpr, "dk-cpr"),
        (Self::EeLtCode, "ee-lt-code"),
        (Self::EsDni, "es-dni"),
        (Self::FiIdentity, "fi-hetu"),
        (Self::FrNir, "fr-nir"),
        (Self::GrAmka, "gr-amka"),
        (Self::HrOib, "hr-oib"),
        (Self::IePps, "ie-pps"),
        (Self::InAadhaar, "in-aadhaar"),
        (Self::InPan, "in-pan"),
        (Self::ItFiscal, "it-fiscal"),
        (Self::JpNumber, "jp-number"),
        (Self::KrResident, "kr-resident"),
        (Self::MxCurp, "mx-curp"),
        (Self::NlBsn, "nl-bsn"),
        (Self::NoBirth, "no-birth"),
        (Self::PlPesel, "pl-pesel"),
        (Self::PtNif, "pt-nif"),
        (Self::RoCnp, "ro-cnp"),
        (Self::SeNumber, "se-number"),
        (Self::SgNric, "sg-nric"),
        (Self::TrNumber, "tr-number"),
        (Self::UkNhs, "uk-nhs"),
        (Self::UkNino, "uk-nino"),
        (Self::ZaIdentity, "za-id"),
    ];

    /// Whether check digits and dates agree.
    pub(super) fn valid(self, number: &[u8]) -> bool {
        let check = match self {
            Self::AtInsurance => sums::at_insurance,
            Self::AuMedicare => sums::au_medicare,
            Self::AuTax => sums::au_tax,
            Self::BeRegister => sums::be_national,
            Self::BgCitizen => sums::bg_citizen,
            Self::BrCpf => sums::br_cpf,
            Self::CaInsurance => sums::ca_insurance,
            Self::ChInsurance => sums::ch_insurance,
            Self::ClRut => sums::cl_rut,
            Self::CnResident => sums::cn_resident,
            Self::CzBirth => sums::cz_birth,
            Self::DeTax => sums::de_tax,
            Self::DkCpr => sums::dk_cpr,
            Self::EeLtCode => sums::ee_lt_code,
            Self::EsDni => sums::es_dni,
            Self::FiIdentity => sums::fi_identity,
            Self::FrNir => sums::fr_nir,
            Self::GrAmka => sums::gr_amka,
            Self::HrOib => sums::hr_oib,
            Self::IePps => sums::ie_pps,
            Self::InAadhaar => sums::in_aadhaar,
            Self::InPan => sums::in_pan,
            Self::ItFiscal => sums::it_fiscal,
            Self::JpNumber => sums::jp_number,
            Self::KrResident => sums::kr_resident,
            Self::MxCurp => sums::mx_curp,
            Self::NlBsn => sums::nl_bsn,
            Self::NoBirth => sums::no_birth,
            Self::PlPesel => sums::pl_pesel,
            Self::PtNif => sums::pt_nif,
            Self::RoCnp => sums::ro_cnp,
            Self::SeNumber => sums::se_number,
            Self::SgNric => sums::sg_nric,
            Self::TrNumber => sums::tr_number,
            Self::UkNhs => sums::uk_nhs,
            Self::UkNino => sums::uk_nino,
            Self::ZaIdentity => sums::za_identity,
        };
        check(number)
    }

    /// What stands before such a number.
    pub(super) const fn words(self) -> &'static [&'static str] {
        match self {
            Self::AtInsurance => &["svnr", "sv-nummer", "sozialversicherungsnummer", "versicherungsnummer"],
            Self::AuMedicare => &["medicare"],
            Self::AuTax => &["tfn", "tax file number", "tax_file_number", "taxfilenumber"],
            Self::BeRegister => &[
                "rijksregister",
                "rijksregisternummer",
                "registre national",
                "insz",
                "niss",
                "national number",
                "national_number",
                "nationalnumber",
            ],
            Self::BgCitizen => &["egn", "егн"],
            Self::BrCpf => &["cpf"],
            Self::CaInsurance => &["sin", "social insurance", "social_insurance", "socialinsurance"],
            Self::ChInsurance => &["ahv", "avs", "ahvn13", "navs", "oasi"],
            Self::ClRut => &["rut"],
            Self::CnResident => &[
                "身份证",
                "身份证号",
                "身份证号码",
                "id_card",
                "idcard",
                "id card",
                "id_number",
                "idnumber",
                "id no",
                "identity",
                "identity_number",
                "resident_id",
                "sfz",
                "shenfenzheng",
            ],
            Self::CzBirth => &[
                "rodne cislo",
                "rodné číslo",
                "rodne_cislo",
                "rodnecislo",
                "birth_number",
            ],
            Self::DeTax => &[
                "steuer-id",
                "steuer_id",
                "steuerid",
                "steueridentifikationsnummer",
                "steuerliche identifikationsnummer",
                "identifikationsnummer",
                "idnr",
                "idnr.",
                "tax id",
                "tax_id",
                "taxid",
                "tin",
            ],
            Self::DkCpr => &["cpr", "cpr-nummer", "cpr_number", "cprnummer", "personnummer"],
            Self::EeLtCode => &[
                "isikukood",
                "asmens kodas",
                "asmens_kodas",
                "personal code",
                "personal_code",
            ],
            Self::EsDni => &["dni", "nie", "nif", "documento", "documento nacional"],
            Self::FiIdentity => &[
                "hetu",
                "henkilötunnus",
                "henkilotunnus",
                "personal identity code",
                "personbeteckning",
            ],
            Self::FrNir => &[
                "nir",
                "insee",
                "securite sociale",
                "sécurité sociale",
                "securite_sociale",
                "secu",
                "sécu",
                "numero_secu",
                "nss",
            ],
            Self::GrAmka => &["amka", "αμκα"],
            Self::HrOib => &["oib"],
            Self::IePps => &["pps", "ppsn", "pps number", "pps_number"],
            Self::InAadhaar => &[
                "aadhaar",
                "aadhar",
                "aadhaar number",
                "aadhaar_number",
                "aadhaarnumber",
                "uidai",
            ],
            Self::InPan => &[
                "pan",
                "pan number",
                "pan_number",
                "pannumber",
                "pan card",
                "pan_card",
                "permanent account",
            ],
            Self::JpNumber => &[
                "マイナンバー",
                "個人番号",
                "my number",
                "my_number",
                "mynumber",
                "individual number",
                "individual_number",
            ],
            Self::KrResident => &[
                "주민등록번호",
                "주민번호",
                "rrn",
                "resident registration",
                "resident_registration",
                "jumin",
            ],
            Self::NlBsn => &["bsn", "burgerservicenummer", "sofinummer", "sofi"],
            Self::NoBirth => &["fnr", "fødselsnummer", "fodselsnummer", "personnummer"],
            Self::PlPesel => &["pesel"],
            Self::PtNif => &["nif", "contribuinte"],
            Self::RoCnp => &["cnp", "cod numeric personal"],
            Self::SeNumber => &[
                "personnummer",
                "personnr",
                "person_number",
                "personal number",
                "personal_number",
                "personalnumber",
                "samordningsnummer",
                "pnr",
            ],
            Self::SgNric => &["nric", "fin", "uinfin", "nric_number", "nricnumber"],
            Self::TrNumber => &[
                "tckn",
                "tc kimlik",
                "tc_kimlik",
                "kimlik",
                "kimlik no",
                "kimlik_no",
                "tc_no",
                "tc no",
            ],
            Self::UkNhs => &["nhs", "nhs number", "nhs_number", "nhsnumber"],
            Self::UkNino => &[
                "nino",
                "ni number",
                "ni_number",
                "ninumber",
                "national insurance",
                "national_insurance",
                "nationalinsurance",
                "nationalinsurancenumber",
                "insurance number",
            ],
            Self::ZaIdentity => &[
                "id number",
                "id_number",
                "idnumber",
                "sa id",
                "sa_id",
                "identity number",
                "identity_number",
            ],
            Self::ItFiscal | Self::MxCurp => &[],
        }
    }
}
