"""The bare words that EPCIS 2.0 JSON-LD allows in place of CBV URIs (CBV 2.0, chapters 7 and 8).

They are the words of the official JSON schema, in its order. A value that is none of them must be a
URI outside the name spaces of the CBV or the GS1 Web Vocabulary.
"""

from typing import Final


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


BIZ_STEPS: Final = _words(
    "accepting arriving assembling collecting commissioning consigning creating_class_instance cycle_counting"
    " decommissioning departing destroying disassembling dispensing encoding entering_exiting holding inspecting"
    " installing killing loading other packing picking receiving removing repackaging repairing replacing reserving"
    " retail_selling shipping staging_outbound stock_taking stocking storing transporting unloading unpacking"
    " void_shipping sensor_reporting sampling"
)
DISPOSITIONS: Final = _words(
    "active container_closed damaged destroyed dispensed disposed encoded expired in_progress in_transit inactive"
    " no_pedigree_match non_sellable_other partially_dispensed recalled reserved retail_sold returned"
    " sellable_accessible sellable_not_accessible stolen unknown available completeness_verified"
    " completeness_inferred conformant container_open mismatch_instance mismatch_class mismatch_quantity"
    " needs_replacement non_conformant unavailable"
)
TRANSACTION_TYPES: Final = _words("bol cert desadv inv pedigree po poc prodorder recadv rma testprd testres upevt")
SOURCE_DESTINATION_TYPES: Final = _words("owning_party possessing_party location")
ERROR_REASONS: Final = _words("did_not_occur incorrect_data")
COMPONENTS: Final = _words(
    "x y z axial_distance azimuth height spherical_radius polar_angle elevation_angle easting northing latitude"
    " longitude altitude"
)
SENSOR_ALERTS: Final = _words("ALARM_CONDITION ERROR_CONDITION")
MEASUREMENTS: Final = _words(
    "AbsoluteHumidity AbsorbedDose AbsorbedDoseRate Acceleration Radioactivity Altitude AmountOfSubstance"
    " AmountOfSubstancePerUnitVolume Angle AngularAcceleration AngularMomentum AngularVelocity Area Capacitance"
    " Conductance Conductivity Count Density Dimensionless DoseEquivalent DoseEquivalentRate DynamicViscosity"
    " ElectricCharge ElectricCurrent ElectricCurrentDensity ElectricFieldStrength Energy Exposure Force Frequency"
    " Illuminance Inductance Irradiance KinematicViscosity Length LinearMomentum Luminance LuminousFlux"
    " LuminousIntensity MagneticFlux MagneticFluxDensity MagneticVectorPotential Mass MassConcentration MassFlowRate"
    " MassPerAreaTime MemoryCapacity MolalityOfSolute MolarEnergy MolarMass MolarVolume Power Pressure RadiantFlux"
    " RadiantIntensity RelativeHumidity Resistance Resistivity SolidAngle SpecificVolume Speed SurfaceDensity"
    " SurfaceTension Temperature Time Torque Voltage Volume VolumeFlowRate VolumeFraction VolumetricFlux Wavenumber"
)
