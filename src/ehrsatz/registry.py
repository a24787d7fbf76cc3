"""Names of variants -> classes, without importing any of them.

Each room's variants stand here as "module:Class"; outside packages add theirs under the entry-point groups
`ehrsatz.generators`, `ehrsatz.metrics`, `ehrsatz.rules`, `ehrsatz.exporters`, `ehrsatz.sources`.
"""

from __future__ import annotations

import importlib
import json
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from ehrsatz.errors import UnknownNameError, nearest

BUILT_IN: dict[str, dict[str, str]] = {
    "generators": {
        "trees": "ehrsatz.generators.trees:Trees",
        "independent": "ehrsatz.generators.independent:Independent",
        "copula": "ehrsatz.generators.copula:Copula",
        "bayesnet": "ehrsatz.generators.bayesnet:BayesNet",
        "latentdiffusion": "ehrsatz.generators.latentdiffusion:LatentDiffusion",
        "vae": "ehrsatz.generators.vae:Vae",
        "vaegan": "ehrsatz.generators.vaegan:VaeGan",
        "gan": "ehrsatz.generators.gan:Gan",
        "medgan": "ehrsatz.generators.medgan:MedGan",
        "diffusion": "ehrsatz.generators.diffusion:Diffusion",
        "flow": "ehrsatz.generators.flow:Flow",
        "autoregressive": "ehrsatz.generators.autoregressive:Autoregressive",
        "forest": "ehrsatz.generators.forest:Forest",
        "kde": "ehrsatz.generators.kde:Kde",
        "gibbs": "ehrsatz.generators.gibbs:Gibbs",
        "ensemble": "ehrsatz.generators.ensemble:Ensemble",
        "auto": "ehrsatz.generators.auto:Auto",
    },
    "metrics": {
        # fidelity: single columns and pairs
        "margins": "ehrsatz.evaluation.fidelity.margins:Margins",
        "worst_margin": "ehrsatz.evaluation.fidelity.margins:WorstMargin",
        "missingness": "ehrsatz.evaluation.fidelity.missingness:Missingness",
        "missing_pairs": "ehrsatz.evaluation.fidelity.missingness:MissingPairs",
        "association": "ehrsatz.evaluation.fidelity.association:Association",
        "pairs": "ehrsatz.evaluation.fidelity.association:Pairs",
        "kolmogorov_smirnov": "ehrsatz.evaluation.fidelity.distributions:KolmogorovSmirnov",
        "anderson_darling": "ehrsatz.evaluation.fidelity.distributions:AndersonDarling",
        "cramer_von_mises": "ehrsatz.evaluation.fidelity.distributions:CramerVonMises",
        "wasserstein": "ehrsatz.evaluation.fidelity.distributions:Wasserstein",
        "quantiles": "ehrsatz.evaluation.fidelity.quantiles:Quantiles",
        "chi_squared": "ehrsatz.evaluation.fidelity.divergences:ChiSquared",
        "kl_divergence": "ehrsatz.evaluation.fidelity.divergences:KlDivergence",
        "jensen_shannon": "ehrsatz.evaluation.fidelity.divergences:JensenShannon",
        "total_variation": "ehrsatz.evaluation.fidelity.divergences:TotalVariation",
        "pearson": "ehrsatz.evaluation.fidelity.pairwise:Pearson",
        "spearman": "ehrsatz.evaluation.fidelity.pairwise:Spearman",
        "cramers_v": "ehrsatz.evaluation.fidelity.pairwise:CramersV",
        "correlation_ratio": "ehrsatz.evaluation.fidelity.pairwise:CorrelationRatio",
        "mutual_information": "ehrsatz.evaluation.fidelity.pairwise:MutualInformation",
        "three_way": "ehrsatz.evaluation.fidelity.threeway:ThreeWay",
        "missing_patterns": "ehrsatz.evaluation.fidelity.patterns:MissingPatterns",
        "missing_dependence": "ehrsatz.evaluation.fidelity.patterns:MissingDependence",
        "conditional": "ehrsatz.evaluation.fidelity.conditional:Conditional",
        # fidelity: whole rows and sequences
        "detection": "ehrsatz.evaluation.fidelity.detection:Detection",
        "coverage": "ehrsatz.evaluation.fidelity.coverage:Coverage",
        "density": "ehrsatz.evaluation.fidelity.coverage:Density",
        "precision": "ehrsatz.evaluation.fidelity.coverage:Precision",
        "recall": "ehrsatz.evaluation.fidelity.coverage:Recall",
        "alpha_precision": "ehrsatz.evaluation.fidelity.manifold:AlphaPrecision",
        "beta_recall": "ehrsatz.evaluation.fidelity.manifold:BetaRecall",
        "authenticity": "ehrsatz.evaluation.fidelity.manifold:Authenticity",
        "mmd": "ehrsatz.evaluation.fidelity.mmd:Mmd",
        "log_cluster": "ehrsatz.evaluation.fidelity.clusters:LogCluster",
        "propensity": "ehrsatz.evaluation.fidelity.propensity:Propensity",
        "diversity": "ehrsatz.evaluation.fidelity.variety:Diversity",
        "mode_collapse": "ehrsatz.evaluation.fidelity.collapse:ModeCollapse",
        "novelty": "ehrsatz.evaluation.fidelity.variety:Novelty",
        "views": "ehrsatz.evaluation.fidelity.views:Views",
        "events_per_subject": "ehrsatz.evaluation.fidelity.sequences:EventsPerSubject",
        "gaps": "ehrsatz.evaluation.fidelity.sequences:Gaps",
        "prevalence": "ehrsatz.evaluation.fidelity.sequences:Prevalence",
        "visit_pairs": "ehrsatz.evaluation.fidelity.sequences:VisitPairs",
        "visit_bigrams": "ehrsatz.evaluation.fidelity.sequences:VisitBigrams",
        "transitions": "ehrsatz.evaluation.fidelity.sequences:Transitions",
        "autocorrelation": "ehrsatz.evaluation.fidelity.dynamics:Autocorrelation",
        "next_event": "ehrsatz.evaluation.fidelity.dynamics:NextEvent",
        # utility: prediction
        "tstr": "ehrsatz.evaluation.utility.tstr:Tstr",
        "tstr_gap": "ehrsatz.evaluation.utility.tstr:TstrGap",
        "trts": "ehrsatz.evaluation.utility.tstr:Trts",
        "tsts": "ehrsatz.evaluation.utility.tstr:Tsts",
        "augmentation_gain": "ehrsatz.evaluation.utility.augmentation:AugmentationGain",
        "importance_agreement": "ehrsatz.evaluation.utility.importance:ImportanceAgreement",
        "calibration": "ehrsatz.evaluation.utility.calibration:Calibration",
        "tstr_average_precision": "ehrsatz.evaluation.utility.classification:TstrAveragePrecision",
        "tstr_accuracy": "ehrsatz.evaluation.utility.classification:TstrAccuracy",
        "tstr_precision": "ehrsatz.evaluation.utility.classification:TstrPrecision",
        "tstr_recall": "ehrsatz.evaluation.utility.classification:TstrRecall",
        "tstr_specificity": "ehrsatz.evaluation.utility.classification:TstrSpecificity",
        "tstr_f1": "ehrsatz.evaluation.utility.classification:TstrF1",
        "tstr_brier": "ehrsatz.evaluation.utility.classification:TstrBrier",
        "tstr_rmse": "ehrsatz.evaluation.utility.classification:TstrRmse",
        "tstr_mae": "ehrsatz.evaluation.utility.classification:TstrMae",
        # utility: estimates and survival
        "coefficient_bias": "ehrsatz.evaluation.utility.estimates:CoefficientBias",
        "interval_overlap": "ehrsatz.evaluation.utility.estimates:IntervalOverlap",
        "sign_agreement": "ehrsatz.evaluation.utility.estimates:SignAgreement",
        "significance_agreement": "ehrsatz.evaluation.utility.estimates:SignificanceAgreement",
        "same_conclusion": "ehrsatz.evaluation.utility.estimates:SameConclusion",
        "kaplan_meier_distance": "ehrsatz.evaluation.utility.survival:KaplanMeierDistance",
        "restricted_mean": "ehrsatz.evaluation.utility.survival:RestrictedMean",
        "log_rank": "ehrsatz.evaluation.utility.survival:LogRankTest",
        "censoring": "ehrsatz.evaluation.utility.survival:Censoring",
        "cox_hazard_ratios": "ehrsatz.evaluation.utility.hazards:CoxHazardRatios",
        "concordance_gap": "ehrsatz.evaluation.utility.hazards:ConcordanceGap",
        # fairness
        "representation": "ehrsatz.evaluation.fairness.representation:Representation",
        "log_disparity": "ehrsatz.evaluation.fairness.representation:LogDisparity",
        "group_fidelity_gap": "ehrsatz.evaluation.fairness.gaps:GroupFidelityGap",
        "group_utility_gap": "ehrsatz.evaluation.fairness.gaps:GroupUtilityGap",
        "demographic_parity": "ehrsatz.evaluation.fairness.models:DemographicParity",
        "equal_opportunity": "ehrsatz.evaluation.fairness.models:EqualOpportunity",
        "equalised_odds": "ehrsatz.evaluation.fairness.models:EqualisedOdds",
        "group_calibration": "ehrsatz.evaluation.fairness.models:GroupCalibration",
        # privacy
        "leak": "ehrsatz.evaluation.privacy.leak:Leak",
        "exact_copies": "ehrsatz.evaluation.privacy.copies:ExactCopies",
        "near_copies": "ehrsatz.evaluation.privacy.copies:NearCopies",
        "dcr_share": "ehrsatz.evaluation.privacy.copies:DcrShare",
        "membership": "ehrsatz.evaluation.privacy.membership:Membership",
        "membership_tpr": "ehrsatz.evaluation.privacy.membership:MembershipTpr",
        "nndr": "ehrsatz.evaluation.privacy.distances:Nndr",
        "identifiability": "ehrsatz.evaluation.privacy.distances:Identifiability",
        "nnaa": "ehrsatz.evaluation.privacy.distances:Nnaa",
        "domias": "ehrsatz.evaluation.privacy.domias:Domias",
        "membership_subset": "ehrsatz.evaluation.privacy.subset:MembershipSubset",
        "outlier_exposure": "ehrsatz.evaluation.privacy.exposure:OutlierExposure",
        "group_exposure": "ehrsatz.evaluation.privacy.exposure:GroupExposure",
        "k_anonymity": "ehrsatz.evaluation.privacy.anonymity:KAnonymity",
        "l_diversity": "ehrsatz.evaluation.privacy.anonymity:LDiversity",
        "t_closeness": "ehrsatz.evaluation.privacy.anonymity:TCloseness",
        "k_map": "ehrsatz.evaluation.privacy.anonymity:KMap",
        "identity_risk": "ehrsatz.evaluation.privacy.risk:IdentityRisk",
        "identity_risk_max": "ehrsatz.evaluation.privacy.risk:IdentityRiskMax",
        "singling_out": "ehrsatz.evaluation.privacy.singling:SinglingOut",
        "linkability": "ehrsatz.evaluation.privacy.linkability:Linkability",
        "inference": "ehrsatz.evaluation.privacy.inference:Inference",
        "tcap": "ehrsatz.evaluation.privacy.inference:Tcap",
    },
    "rules": {},  # several hundred, by id, from the index beside them: see below
    "exporters": {
        "csv": "ehrsatz.exporters.csv:CsvExporter",
        "parquet": "ehrsatz.exporters.parquet:ParquetExporter",
        "fhir": "ehrsatz.exporters.fhir.ndjson:FhirExporter",
        "fhir_bundle": "ehrsatz.exporters.fhir.bundle:BundleExporter",
        "sql": "ehrsatz.exporters.sql.folder:SqlFolder",
        "sqlite": "ehrsatz.exporters.sql.files:SqliteFile",
        "duckdb": "ehrsatz.exporters.sql.files:DuckdbFile",
        "omop": "ehrsatz.exporters.omop.files:OmopFolder",
        "omop_duckdb": "ehrsatz.exporters.omop.files:OmopDuckdb",
        "omop_sqlite": "ehrsatz.exporters.omop.files:OmopSqlite",
        "layout": "ehrsatz.exporters.layout:LayoutExporter",
        "meds": "ehrsatz.exporters.meds:MedsExporter",
        "sdtm": "ehrsatz.exporters.sdtm.exporter:SdtmExporter",
        "hl7v2": "ehrsatz.exporters.hl7v2.feed:Hl7v2Exporter",
        "ccda": "ehrsatz.exporters.ccda.exporter:CcdaExporter",
        "x12": "ehrsatz.exporters.x12.exporter:X12Exporter",
    },
    "sources": {
        "csv": "ehrsatz.sources.csv:CsvSource",
        "parquet": "ehrsatz.sources.parquet:ParquetSource",
        "sql": "ehrsatz.sources.sql:SqlSource",
        "frame": "ehrsatz.sources.frame:FrameSource",
        "clinical": "ehrsatz.sources.canonical:CanonicalSource",
        "database": "ehrsatz.sources.database:DatabaseSource",
        "omop": "ehrsatz.sources.omop.source:OmopSource",
        "layout": "ehrsatz.sources.layout:LayoutSource",
        "meds": "ehrsatz.sources.meds.reader:MedsSource",
        "fhir": "ehrsatz.sources.fhir.source:FhirSource",
        "sdtm": "ehrsatz.sources.sdtm.reader:SdtmSource",
        "hl7v2": "ehrsatz.sources.hl7v2.reader:Hl7v2Source",
        "ccda": "ehrsatz.sources.ccda.source:CcdaSource",
        "x12": "ehrsatz.sources.x12.source:X12Source",
        "synthea": "ehrsatz.sources.synthea.reader:SyntheaSource",
    },
}

RULES: dict[str, dict[str, str]] = json.loads(
    (Path(__file__).parent / "rules" / "data" / "index.json").read_text(encoding="utf-8")
)  # id -> title, severity, theme; written by `python -m ehrsatz.rules.catalogue`
BUILT_IN["rules"] = {rule: f"ehrsatz.rules.catalogue:{rule}" for rule in RULES}


def names(room: str) -> tuple[str, ...]:
    """Return the names of a room's variants, built-in first, importing none of them."""
    outside = [point.name for point in entry_points(group=f"ehrsatz.{room}")]
    return (*BUILT_IN[room], *sorted(set(outside) - set(BUILT_IN[room])))


def find(room: str, name: str) -> Any:
    """Import and return the class of a variant.

    Raises
    ------
    UnknownNameError
        When no variant of that name is registered; the nearest name is offered.
    """
    if name in BUILT_IN[room]:
        module, _, attribute = BUILT_IN[room][name].partition(":")
        return getattr(importlib.import_module(module), attribute)
    for point in entry_points(group=f"ehrsatz.{room}"):
        if point.name == name:
            return point.load()
    known = names(room)
    raise UnknownNameError(
        f"Expected one of the {room}: {', '.join(known)}.",
        f"'{name}' is none of them.{nearest(name, known)}",
        f"List them with: ehrsatz doctor --list {room}",
    )
